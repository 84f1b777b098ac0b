"""A cache whose content is limited by its length: a short text can have long HTML."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """The values that were used last, for any thread."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length  # characters of all keys and values, of up to 4 bytes each
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.length = 0
        self._lock = Lock()

    def find(self, key: Key) -> Value | None:
        """Return a value, or None if it is not kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def keep(self, key: Key, value: Value, length: int) -> None:
        """Keep a value unless it is too long; `length` is that of the key and the value."""
        if length > self.max_length:
            return
        with self._lock:
            if key in self._values:
                self.length -= self._values.pop(key)[1]
            self._values[key] = (value, length)
            self.length += length
            while self.length > self.max_length:
                self.length -= self._values.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._values.clear()
            self.length = 0

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._values)
