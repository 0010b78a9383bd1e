"""What decides a run's result, as a JSON object: compared, digested, its changes in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping

from synfill.records import JsonObject

_SHOWN = 10


def as_json(identity: Mapping[str, object]) -> JsonObject:
    """An identity as it is read back from a file: a tuple is a list there."""
    content: JsonObject = json.loads(json.dumps(identity))
    return content


def digest_identity(identity: Mapping[str, object]) -> str:
    """A short name for an identity, which its shards carry."""
    text = json.dumps(as_json(identity), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def differences(
    before: Mapping[str, object], now: Mapping[str, object], unsure: Collection[str] = ()
) -> list[str]:
    """What changed between two identities.

    Args:
        before: The one that was written down.
        now: The other.
        unsure: Keys that count as unchanged.

    Returns:
        One line for each value that changed, with the keys that lead to it ("stages.0.lr: 0.1 ->
        0.2"); at most ten, and a line that says how many there are besides.
    """
    known = {key: value for key, value in as_json(now).items() if key not in unsure}
    old = {key: value for key, value in before.items() if key not in unsure}
    lines = [f"{path}: {_short(a)} -> {_short(b)}" for path, a, b in _changes("", old, known)]
    more = len(lines) - _SHOWN
    return lines[:_SHOWN] + ([f"... and {more} more"] if more > 0 else [])


def _changes(path: str, before: object, now: object) -> Iterator[tuple[str, object, object]]:
    """The values that differ: keys with dots between, value before, value now."""
    if _has_parts(before) and _has_parts(now) and type(before) is type(now):
        old, new = _parts(before), _parts(now)
        for key in dict.fromkeys([*old, *new]):
            yield from _changes(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif before != now:
        yield path, before, now


def _has_parts(value: object) -> bool:
    """Whether a value is looked into: a plain list, of numbers say, is shown as a whole."""
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in value)
    return isinstance(value, dict)


def _parts(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    assert isinstance(value, list)
    return {str(index): item for index, item in enumerate(value)}


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_more_of(
    before: Mapping[str, object], now: Mapping[str, object], unsure: Collection[str] = ()
) -> bool:
    """Whether a balance run asks for more than an earlier one under the same rules: a larger limit
    or none, a higher target of the same kind. Whether all of the earlier one's requests are among
    its own, the plans say.
    """
    current = as_json(now)
    return all(
        key in unsure or _is_same_or_more(key, before.get(key), current.get(key))
        for key in {*before, *current}
    )


def _is_same_or_more(key: str, old: object, new: object) -> bool:
    if old == new:
        return True
    if key == "limit":
        return isinstance(old, int) and (new is None or (isinstance(new, int) and new > old))
    return key == "target" and _kind_of_target(old) == _kind_of_target(new)


def _kind_of_target(target: object) -> str:
    return target.partition(":")[0] if isinstance(target, str) else "counts"
