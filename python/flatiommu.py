# SPDX-License-Identifier: MIT
"""
Userspace PCI drivers at a prompt: libflatiommu, by ctypes.

Each call is the library's call of that name, whose manual page says what it does and means; this
module has no knowledge of its own about devices. A call that fails raises Error, an OSError with
the errno and the reason of the library. Functions that are not wrapped are in flatiommu.lib.

    with flatiommu.Context() as flat:
        edu = flat.open("0000:00:06.0")
        regs = edu.bar(0)
        print(hex(regs.read32(0)))
"""
import asyncio
import ctypes
import errno
import gc
import math
import os
import select
import time
import weakref
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint, c_uint8
from ctypes import c_uint16, c_uint32, c_uint64, c_void_p
from enum import IntEnum

lib = ctypes.CDLL("libflatiommu.so.1")

DMA_NO_FALLBACK, DMA_ON_NODE, DMA_CONTIGUOUS, DMA_SHARED = 1, 2, 4, 8
DMA_READ_ONLY, DMA_WRITE_ONLY = 16, 32
POOL_POISON = 1
BAR_WRITE_COMBINED = 1
FUNCTION_CLAIMED, FUNCTION_ISOLATED, FUNCTION_NOIOMMU, FUNCTION_VF = 1, 2, 4, 8
REGION_ROM, REGION_CONFIG = 6, 7


class Irq(IntEnum):
    """enum flatiommu_irq"""
    INTX, MSI, MSIX, ERROR, REQUEST = range(5)


class Pages(IntEnum):
    """enum flatiommu_dma_pages"""
    ANY, GIANT, HUGE, TRANSPARENT, SMALL = range(5)


class EventKind(IntEnum):
    """enum flatiommu_event_kind"""
    ADDED, REMOVED, BOUND, UNBOUND = range(1, 5)


_UNSIGNED = (c_uint8, c_uint16, c_uint32, c_uint64, c_uint, c_size_t)
_SIGNED = (c_int, c_int32, c_int64)


def _fit(kind, value):
    """The number, if a C integer of this kind can have it. ctypes would cut it without a word."""
    if kind in _UNSIGNED + _SIGNED and isinstance(value, int):
        bits = 8 * ctypes.sizeof(kind) - (kind in _SIGNED)
        if not -(kind in _SIGNED) << bits <= value < 1 << bits:
            raise OverflowError(f"{value:#x} does not fit into {bits} bits")
    return value


def _fitting(kind):
    """The same, as a type of an argument: ctypes.ArgumentError."""
    class Fitting(kind):
        """What ctypes asks for."""
        @classmethod
        def from_param(cls, value):
            """ctypes calls it for each argument."""
            return kind.from_param(_fit(kind, value))
    return Fitting if kind in _UNSIGNED + _SIGNED else kind


class _Structure(ctypes.Structure):
    """A structure of the library's: a member that there is not is a mistake."""
    def __init__(self, **members):
        kinds = dict(self._fields_)
        for name, value in members.items():
            if name not in kinds:
                raise TypeError(f"{type(self).__doc__} has no {name}")
            _fit(kinds[name], value)
        super().__init__(**members)


class Segment(_Structure):
    """struct flatiommu_dma_segment"""
    _fields_ = [("address", c_uint64), ("length", c_uint64)]


class Dma(_Structure):
    """struct flatiommu_dma"""
    _fields_ = [("memory", c_void_p), ("length", c_size_t), ("segments", POINTER(Segment)),
                ("nr_segments", c_size_t), ("page_size", c_size_t), ("bases", POINTER(c_uint64)),
                ("skipped", c_size_t), ("shift", c_uint32), ("reserved", c_uint32), ("impl", c_void_p)]


class Options(_Structure):
    """struct flatiommu_options"""
    _fields_ = [("backend", c_char_p), ("flags", c_uint64), ("reserved", c_uint64 * 6)]


class DeviceOptions(_Structure):
    """struct flatiommu_device_options"""
    _fields_ = [("vf_token", c_char_p), ("flags", c_uint64), ("reserved", c_uint64 * 6)]


class DeviceInfo(_Structure):
    """struct flatiommu_device_info"""
    _fields_ = [("flags", c_uint32), ("group", c_int32), ("node", c_int32), ("wc_bars", c_uint32),
                ("bars", c_uint64 * 6), ("reserved", c_uint64 * 8)]


class DmaOptions(_Structure):
    """struct flatiommu_dma_options"""
    _fields_ = [("flags", c_uint32), ("pages", c_uint32), ("node", c_int32),
                ("address_bits", c_uint32), ("reserved", c_uint64 * 4)]


class PoolOptions(_Structure):
    """struct flatiommu_pool_options"""
    _fields_ = [("memory", DmaOptions), ("alignment", c_uint64), ("boundary", c_uint64),
                ("flags", c_uint32), ("reserved_32", c_uint32), ("reserved", c_uint64 * 4)]


class Object(_Structure):
    """struct flatiommu_object"""
    _fields_ = [("memory", c_void_p), ("address", c_uint64), ("length", c_size_t)]


class Limits(_Structure):
    """struct flatiommu_dma_limits"""
    _fields_ = [("max_length", c_uint64), ("boundary", c_uint64), ("alignment", c_uint64),
                ("address_bits", c_uint32), ("flags", c_uint32), ("reserved", c_uint64 * 4)]


class _Text:
    """Members that are arrays of characters are told as str."""
    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        return value.decode() if isinstance(value, bytes) else value


class Function(_Text, _Structure):
    """struct flatiommu_function_info"""
    _fields_ = [("name", ctypes.c_char * 32), ("driver", ctypes.c_char * 32),
                ("pf", ctypes.c_char * 32), ("class_code", c_uint32), ("vendor", c_uint16),
                ("device", c_uint16), ("subsystem_vendor", c_uint16),
                ("subsystem_device", c_uint16), ("flags", c_uint32), ("group", c_int32),
                ("node", c_int32), ("nr_vfs", c_uint32), ("reserved_32", c_uint32),
                ("reserved", c_uint64 * 8)]

    def __repr__(self):
        return (f"<Function {self.name} [{self.vendor:04x}:{self.device:04x}], "
                f"class {self.class_code:06x}, driver {self.driver or 'none'}>")


class Match(_Structure):
    """struct flatiommu_match"""
    _fields_ = [("class_code", c_uint32), ("class_mask", c_uint32), ("vendor", c_uint16),
                ("device", c_uint16), ("flags", c_uint32), ("pf", c_char_p), ("driver", c_char_p),
                ("reserved", c_uint64 * 4)]


class Event(_Text, _Structure):
    """struct flatiommu_monitor_event"""
    _fields_ = [("kind", c_uint32), ("class_code", c_uint32), ("vendor", c_uint16),
                ("device", c_uint16), ("reserved_32", c_uint32), ("name", ctypes.c_char * 32),
                ("driver", ctypes.c_char * 32), ("reserved", c_uint64 * 4)]

    def __repr__(self):
        return f"<Event {EventKind(self.kind).name} {self.name} {self.driver}>"


class Error(OSError):
    """A call of the library failed: errno, and strerror is its reason."""


_DMA = POINTER(Dma)
_CALLS = {
    "open_with": (c_int, POINTER(Options), POINTER(c_void_p)),
    "close": (None, c_void_p),
    "reason": (c_char_p, c_void_p),
    "backend": (c_char_p, c_void_p),
    "backend_reason": (c_char_p, c_void_p),
    "isolated": (ctypes.c_bool, c_void_p),
    "library_version": (c_char_p,),
    "function_get_info": (c_int, c_char_p, POINTER(Function)),
    "function_list": (c_int, POINTER(Match), POINTER(POINTER(Function)), POINTER(c_size_t)),
    "function_list_free": (None, POINTER(Function)),
    "monitor_open": (c_int,),
    "monitor_read": (c_int, c_int, POINTER(Event)),
    "device_open_with": (c_int, c_void_p, c_char_p, POINTER(DeviceOptions), POINTER(c_void_p)),
    "device_close": (c_int, c_void_p),
    "device_get_info": (c_int, c_void_p, POINTER(DeviceInfo)),
    "device_name": (c_char_p, c_void_p),
    "device_fd": (c_int, c_void_p),
    "bus_master": (c_int, c_void_p, ctypes.c_bool),
    "reset": (c_int, c_void_p),
    "hot_reset": (c_int, c_void_p),
    "dma_alloc": (c_int, c_void_p, c_size_t, POINTER(DmaOptions), POINTER(_DMA)),
    "dma_map": (c_int, c_void_p, c_void_p, c_size_t, POINTER(DmaOptions), POINTER(_DMA)),
    "dma_free": (c_int, _DMA),
    "quiet": (c_int, c_void_p),
    "dma_address": (c_uint64, _DMA, c_size_t),
    "dma_gather": (c_int, _DMA, c_size_t, c_size_t, POINTER(Limits), POINTER(Segment),
                   POINTER(c_size_t)),
    "pool_create": (c_int, c_void_p, POINTER(PoolOptions), POINTER(c_void_p)),
    "pool_destroy": (c_int, c_void_p),
    "pool_alloc": (c_int, c_void_p, c_size_t, POINTER(Object)),
    "pool_free": (c_int, c_void_p, c_void_p),
    "bar_dma": (c_int, c_void_p, c_uint, c_uint64, c_size_t, POINTER(DmaOptions), POINTER(_DMA)),
    "bar_map": (c_int, c_void_p, c_uint, c_uint64, c_size_t, c_uint, POINTER(c_void_p)),
    "bar_unmap": (c_int, c_void_p, c_void_p),
    "region_size": (c_int64, c_void_p, c_uint),
    "region_read": (c_int, c_void_p, c_uint, c_uint64, c_void_p, c_size_t),
    "region_write": (c_int, c_void_p, c_uint, c_uint64, c_void_p, c_size_t),
    "capability": (c_int, c_void_p, c_uint8, POINTER(c_uint)),
    "extended_capability": (c_int, c_void_p, c_uint16, POINTER(c_uint)),
    "irq_vectors": (c_int, c_void_p, c_int),
    "irq_enable": (c_int, c_void_p, c_int, c_uint, c_uint, POINTER(c_int)),
    "irq_disable": (c_int, c_void_p, c_int),
    "irq_trigger": (c_int, c_void_p, c_int, c_uint),
    "irq_mask": (c_int, c_void_p, c_int),
    "irq_unmask": (c_int, c_void_p, c_int),
    "rmb": (None,), "wmb": (None,), "mb": (None,), "wc_flush": (None,),
}
for _size, _type in ((8, c_uint8), (16, c_uint16), (32, c_uint32), (64, c_uint64)):
    _CALLS[f"read{_size}"] = (_type, c_void_p)
    _CALLS[f"write{_size}"] = (None, c_void_p, _type)
for _name, (_result, *_arguments) in _CALLS.items():
    _call = getattr(lib, "flatiommu_" + _name)
    _call.restype, _call.argtypes = _result, [_fitting(_kind) for _kind in _arguments]

version = lib.flatiommu_library_version().decode()
rmb, wmb, mb, wc_flush = (getattr(lib, "flatiommu_" + _name)
                          for _name in ("rmb", "wmb", "mb", "wc_flush"))


def _check(result, flat=None, what=""):
    if result < 0:
        reason = lib.flatiommu_reason(flat).decode() if flat else ""
        raise Error(-result, reason or f"{what}: {os.strerror(-result)}")
    return result


def _bytes(text):
    return None if text is None else os.fsencode(text)


class _Memory:
    """memory: a memoryview of memory of the library's, which is released before that goes."""
    def _view(self, address, length):
        self._where = address, length
        self._make()

    def _make(self):
        address, length = self._where
        array = (ctypes.c_char * length).from_address(address)
        # each view of the memory, such as a slice or a NumPy array, keeps this object
        self._array = weakref.ref(array)
        self.memory = memoryview(array).cast("B")

    def _renew(self):
        """A view that another object has was not released, and is the one to be released later."""
        try:
            len(self.memory)
        except ValueError:
            self._make()

    def _release(self):
        """BufferError, and the memory stays, when another object has it, such as an array."""
        self.memory.release()
        if self._array() is not None:
            # it may be in a cycle that nobody uses any more
            gc.collect()
        array = self._array()
        if array is not None:
            self.memory = memoryview(array).cast("B")
            raise BufferError("another object has a view of the memory")


def functions(**match):
    """flatiommu_function_list(): a list of Function. match: members of struct flatiommu_match."""
    wanted = Match(**{name: _bytes(value) if name in ("pf", "driver") else value
                      for name, value in match.items()})
    found, count = POINTER(Function)(), c_size_t()
    _check(lib.flatiommu_function_list(byref(wanted), byref(found), byref(count)), what="functions")
    try:
        return [Function.from_buffer_copy(found[i]) for i in range(count.value)]
    finally:
        lib.flatiommu_function_list_free(found)


def function(bdf):
    """flatiommu_function_get_info()"""
    info = Function()
    _check(lib.flatiommu_function_get_info(_bytes(bdf), byref(info)), what=bdf)
    return info


class _Closed:
    """What is closed once, by close() or at the end of a with statement."""
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Polled(_Closed):
    """A file descriptor whose read() returns None while there is nothing."""
    _ready = None

    def fileno(self):
        if self._fd is None:
            raise ValueError("it is closed")
        return self._fd

    def wait(self, timeout=None):
        """What read() returns, once there is something. timeout: in seconds, TimeoutError then."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        end = None if timeout is None else time.monotonic() + timeout
        while (value := self.read()) is None:
            left = None if end is None else math.ceil(1000 * max(0, end - time.monotonic()))
            if not poll.poll(left):
                raise TimeoutError(f"{self!r}: nothing in {timeout} s")
        return value

    async def next(self):
        """The same for asyncio: await it. One task at a time."""
        loop = asyncio.get_running_loop()
        while (value := self.read()) is None:
            if self._ready:
                raise RuntimeError("another task waits for it")
            ready = self._ready = loop.create_future()
            loop.add_reader(self.fileno(), lambda: ready.done() or ready.set_result(None))
            try:
                await ready
            finally:
                self._forget()
        return value

    def _forget(self):
        ready, self._ready = self._ready, None
        if ready:
            ready.get_loop().remove_reader(self._fd)
        if ready and not ready.done():
            ready.set_exception(ValueError("it is closed"))

    def __aiter__(self):
        return self

    __anext__ = next

    def close(self):
        self._forget()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class Monitor(_Polled):
    """flatiommu_monitor_open(): functions that come and go, as events."""
    def __init__(self):
        self._fd = _check(lib.flatiommu_monitor_open(), what="monitor")

    def read(self):
        """flatiommu_monitor_read()"""
        event = Event()
        result = lib.flatiommu_monitor_read(self.fileno(), byref(event))
        return None if result == -errno.EAGAIN else _check(result, what="monitor") or event


# As in C, a context ends when it is closed, and not when it is forgotten: devices use its memory.
_contexts = set()
# Objects with memory that the library could not unmap, so that a device may still reach it.
_lost = []


class Context(_Closed):
    """flatiommu_open_with(): devices, and the memory that all of them reach."""
    def __init__(self, backend=None):
        self._flat = c_void_p()
        self._parts = []
        _check(lib.flatiommu_open_with(byref(Options(backend=_bytes(backend))), byref(self._flat)),
               what="flatiommu_open_with")
        _contexts.add(self)

    def __repr__(self):
        return f"<Context {self.backend if self._flat else 'closed'}>"

    @property
    def handle(self):
        """For calls of flatiommu.lib."""
        if not self._flat:
            raise ValueError("the context is closed")
        return self._flat

    @property
    def backend(self):
        return lib.flatiommu_backend(self.handle).decode()

    @property
    def backend_reason(self):
        return lib.flatiommu_backend_reason(self.handle).decode()

    @property
    def isolated(self):
        return lib.flatiommu_isolated(self.handle)

    def _add(self, part):
        self._parts.append(part)
        return part

    def open(self, bdf, vf_token=None):
        """flatiommu_device_open_with()"""
        device = c_void_p()
        options = DeviceOptions(vf_token=_bytes(vf_token))
        _check(lib.flatiommu_device_open_with(self.handle, _bytes(bdf), byref(options),
                                              byref(device)), self._flat)
        return self._add(Device(self, device))

    def alloc(self, length, **options):
        """flatiommu_dma_alloc(). options: members of struct flatiommu_dma_options."""
        dma = _DMA()
        _check(lib.flatiommu_dma_alloc(self.handle, length, byref(DmaOptions(**options)),
                                       byref(dma)), self._flat)
        return self._add(Buffer(self, dma))

    def map(self, memory, **options):
        """flatiommu_dma_map() of an object that can be written to, such as an mmap or bytearray."""
        held = (ctypes.c_char * memoryview(memory).nbytes).from_buffer(memory)
        dma = _DMA()
        _check(lib.flatiommu_dma_map(self.handle, ctypes.addressof(held), len(held),
                                     byref(DmaOptions(**options)), byref(dma)), self._flat)
        return self._add(Buffer(self, dma, held))

    def pool(self, memory=None, **options):
        """
        flatiommu_pool_create(). options: members of struct flatiommu_pool_options. memory: a dict of
        members of struct flatiommu_dma_options.
        """
        pool = c_void_p()
        wanted = PoolOptions(memory=DmaOptions(**memory or {}), **options)
        _check(lib.flatiommu_pool_create(self.handle, byref(wanted), byref(pool)), self._flat)
        return self._add(Pool(self, pool))

    def quiet(self):
        """flatiommu_quiet()"""
        _check(lib.flatiommu_quiet(self.handle), self._flat)

    def close(self):
        """flatiommu_close(): whatever is left of it is closed first."""
        if not self._flat:
            return
        _release(self._parts)
        flat, self._flat = self._flat, c_void_p()
        # until the devices are stopped
        held = [part._held for part in self._parts if isinstance(part, Buffer)]
        for part in self._parts:
            part._end()
        self._parts.clear()
        lib.flatiommu_close(flat)
        _contexts.discard(self)
        del held


def _release(parts):
    try:
        for part in parts:
            part._release()
    except BufferError:
        for part in parts:
            part._renew()
        raise


class _Whole(_Closed):
    """It has parts, which end with it."""
    def _release(self):
        _release(self._parts)

    def _renew(self):
        for part in self._parts:
            part._renew()

    def _end(self):
        for part in self._parts:
            part._end()
        self._parts.clear()


class Buffer(_Memory, _Closed):
    """struct flatiommu_dma. memory: a memoryview, until it is closed; no slice of it is kept longer."""
    def __init__(self, context, dma, held=None):
        self._context, self._dma, self._held = context, dma, held
        self._view(dma.contents.memory, dma.contents.length)

    def __repr__(self):
        return f"<Buffer of {len(self)} bytes>" if self._dma else "<Buffer closed>"

    def __len__(self):
        return self.handle.contents.length

    @property
    def handle(self):
        if not self._dma:
            raise ValueError("the buffer is closed")
        return self._dma

    @property
    def segments(self):
        dma = self.handle.contents
        return [(dma.segments[i].address, dma.segments[i].length) for i in range(dma.nr_segments)]

    def address(self, offset=0):
        """flatiommu_dma_address()"""
        if not 0 <= offset < len(self):
            raise IndexError(f"offset {offset} of {len(self)} bytes")
        return lib.flatiommu_dma_address(self._dma, offset)

    def gather(self, offset=0, length=None, **limits):
        """flatiommu_dma_gather(). limits: members of struct flatiommu_dma_limits."""
        length = len(self) - offset if length is None else length
        count, bounds, segments = c_size_t(0), Limits(**limits), (Segment * 1)()
        result = lib.flatiommu_dma_gather(self.handle, offset, length, byref(bounds), segments,
                                          byref(count))
        if result == -errno.ENOSPC:
            segments = (Segment * count.value)()
            result = lib.flatiommu_dma_gather(self._dma, offset, length, byref(bounds), segments,
                                              byref(count))
        _check(result, what="flatiommu_dma_gather")
        return [(s.address, s.length) for s in segments[:count.value]]

    def _end(self):
        dma, self._dma, self._held = self._dma, None, None
        return dma

    def close(self):
        """flatiommu_dma_free()"""
        if not self._dma:
            return
        flat, held = self._context.handle, self._held
        self._release()
        self._context._parts.remove(self)
        result = lib.flatiommu_dma_free(self._end())
        if result < 0:
            _lost.append(held)
        _check(result, flat)


class Pool(_Whole):
    """Small objects and rings that share buffers."""
    def __init__(self, context, pool):
        self._context, self._pool, self._parts = context, pool, []

    def __repr__(self):
        return f"<Pool with {len(self._parts)} objects>" if self._pool else "<Pool closed>"

    @property
    def handle(self):
        """For calls of flatiommu.lib."""
        if not self._pool:
            raise ValueError("the pool is closed")
        return self._pool

    def _call(self, name, *arguments):
        pool, flat = self.handle, self._context.handle
        return _check(getattr(lib, "flatiommu_" + name)(pool, *arguments), flat)

    def alloc(self, size):
        """flatiommu_pool_alloc()"""
        found = Object()
        self._call("pool_alloc", size, byref(found))
        self._parts.append(Piece(self, found))
        return self._parts[-1]

    def _end(self):
        super()._end()
        self._pool = None

    def close(self):
        """flatiommu_pool_destroy(), with all of its objects"""
        if not self._pool:
            return
        pool, flat = self._pool, self._context.handle
        self._release()
        self._context._parts.remove(self)
        self._end()
        _check(lib.flatiommu_pool_destroy(pool), flat)


class Piece(_Memory, _Closed):
    """An object of a pool. memory: a memoryview, until it is closed; no slice of it is kept longer."""
    def __init__(self, pool, found):
        self._pool, self._object = pool, found
        self._view(found.memory, found.length)

    def __repr__(self):
        return f"<Piece of {len(self)} bytes>" if self._object else "<Piece closed>"

    def __len__(self):
        return self._handle.length

    @property
    def _handle(self):
        if not self._object:
            raise ValueError("the object is closed")
        return self._object

    def address(self, offset=0):
        """Its bus address. It is contiguous, and aligned to its length there."""
        if not 0 <= offset < len(self):
            raise IndexError(f"offset {offset} of {len(self)} bytes")
        return self._object.address + offset

    def _end(self):
        found, self._object = self._object, None
        return found

    def close(self):
        """flatiommu_pool_free()"""
        if not self._object:
            return
        self._release()
        self._pool._parts.remove(self)
        self._pool._call("pool_free", self._end().memory)


class Bar(_Memory, _Closed):
    """
    flatiommu_bar_map(). memory: a memoryview, until it is closed; no slice of it is kept longer. It
    is for BARs that are memory, as it makes accesses of any width. Registers are for read32() and
    the like.
    """
    def __init__(self, device, address, length):
        self._device, self._address, self._length = device, address, length
        self._view(address, length)

    def __len__(self):
        return self._length

    def _at(self, offset, size):
        if not self._address:
            raise ValueError("the BAR is closed")
        if offset % size or not 0 <= offset <= self._length - size:
            raise IndexError(f"no register of {8 * size} bits at {offset:#x}")
        return self._address + offset

    def read8(self, offset):
        return lib.flatiommu_read8(self._at(offset, 1))

    def read16(self, offset):
        return lib.flatiommu_read16(self._at(offset, 2))

    def read32(self, offset):
        return lib.flatiommu_read32(self._at(offset, 4))

    def read64(self, offset):
        return lib.flatiommu_read64(self._at(offset, 8))

    def write8(self, offset, value):
        lib.flatiommu_write8(self._at(offset, 1), value)

    def write16(self, offset, value):
        lib.flatiommu_write16(self._at(offset, 2), value)

    def write32(self, offset, value):
        lib.flatiommu_write32(self._at(offset, 4), value)

    def write64(self, offset, value):
        lib.flatiommu_write64(self._at(offset, 8), value)

    def _end(self):
        address, self._address = self._address, None
        return address

    def close(self):
        """flatiommu_bar_unmap()"""
        if not self._address:
            return
        self._release()
        self._device._parts.remove(self)
        self._device._call("bar_unmap", self._end())


class Interrupt(_Polled):
    """A vector's eventfd. read() and wait() return how often it was signalled since."""
    def __init__(self, device, irq, vector):
        self._device, self.irq, self.vector = device, irq, vector
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __repr__(self):
        return f"<Interrupt {self.irq.name} {self.vector}>"

    def read(self):
        try:
            return os.eventfd_read(self.fileno())
        except BlockingIOError:
            return None

    def unmask(self):
        """flatiommu_irq_unmask(), after each INTx"""
        self._device._call("irq_unmask", self.irq)

    def trigger(self):
        """flatiommu_irq_trigger()"""
        self._device._call("irq_trigger", self.irq, self.vector)

    _end = _Polled.close

    def _release(self):
        pass

    _renew = _release

    def close(self):
        """The vector signals nothing any more; Device.irq_disable() is for all of a kind."""
        if self._fd is None:
            return
        self._device._parts.remove(self)
        self._end()
        self._device._call("irq_enable", self.irq, self.vector, 1, (c_int * 1)(-1))


class Device(_Whole):
    """A function that is open in a context."""
    def __init__(self, context, device):
        self._context, self._device, self._parts = context, device, []
        self.name = lib.flatiommu_device_name(device).decode()

    def __repr__(self):
        return f"<Device {self.name}>" if self._device else f"<Device {self.name}, closed>"

    @property
    def handle(self):
        """For calls of flatiommu.lib."""
        if not self._device:
            raise ValueError(f"{self.name} is closed")
        return self._device

    def _call(self, name, *arguments):
        device, flat = self.handle, self._context.handle
        return _check(getattr(lib, "flatiommu_" + name)(device, *arguments), flat)

    @property
    def info(self):
        """flatiommu_device_get_info()"""
        info = DeviceInfo()
        self._call("device_get_info", byref(info))
        return info

    def fileno(self):
        """flatiommu_device_fd()"""
        return self._call("device_fd")

    def bus_master(self, on):
        """flatiommu_bus_master()"""
        self._call("bus_master", on)

    def reset(self):
        """flatiommu_reset()"""
        self._call("reset")

    def hot_reset(self):
        """flatiommu_hot_reset()"""
        self._call("hot_reset")

    def region_size(self, region):
        """flatiommu_region_size()"""
        return self._call("region_size", region)

    def region_read(self, region, offset, length):
        """flatiommu_region_read(): bytes"""
        data = ctypes.create_string_buffer(length)
        self._call("region_read", region, offset, data, length)
        return data.raw

    def region_write(self, region, offset, data):
        """flatiommu_region_write()"""
        data = bytes(data)
        self._call("region_write", region, offset, data, len(data))

    def config_read(self, offset, size):
        """flatiommu_config_read8() and the like: size is 1, 2 or 4"""
        return int.from_bytes(self.region_read(REGION_CONFIG, offset, size), "little")

    def config_write(self, offset, size, value):
        """flatiommu_config_write8() and the like"""
        self.region_write(REGION_CONFIG, offset, value.to_bytes(size, "little"))

    def _find(self, name, number, after):
        offset = c_uint(after)
        try:
            self._call(name, number, byref(offset))
        except Error as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return offset.value

    def capability(self, number, after=0):
        """flatiommu_capability(): its offset, or None"""
        return self._find("capability", number, after)

    def extended_capability(self, number, after=0):
        """flatiommu_extended_capability(): its offset, or None"""
        return self._find("extended_capability", number, after)

    def bar(self, bar, offset=0, length=0, flags=0):
        """flatiommu_bar_map()"""
        memory = c_void_p()
        self._call("bar_map", bar, offset, length, flags, byref(memory))
        self._parts.append(Bar(self, memory.value, length or self.region_size(bar) - offset))
        return self._parts[-1]

    def bar_dma(self, bar, offset=0, length=0, **options):
        """flatiommu_bar_dma()"""
        dma = _DMA()
        self._call("bar_dma", bar, offset, length, byref(DmaOptions(**options)), byref(dma))
        return self._context._add(Buffer(self._context, dma))

    def irq_vectors(self, irq):
        """flatiommu_irq_vectors()"""
        return self._call("irq_vectors", irq)

    def irqs(self, irq, count, first=0):
        """flatiommu_irq_enable(): an Interrupt for each of the vectors"""
        new = []
        try:
            for i in range(count):
                new.append(Interrupt(self, Irq(irq), first + i))
            self._call("irq_enable", irq, first, count, (c_int * count)(*[i.fileno() for i in new]))
        except BaseException:
            for interrupt in new:
                interrupt._end()
            raise
        self._parts += new
        return new

    def irq(self, irq, vector=0):
        """The same of one vector."""
        return self.irqs(irq, 1, vector)[0]

    def irq_disable(self, irq):
        """flatiommu_irq_disable()"""
        self._call("irq_disable", irq)
        for part in [p for p in self._parts if isinstance(p, Interrupt) and p.irq == irq]:
            self._parts.remove(part)
            part._end()

    def _end(self):
        super()._end()
        self._device = None

    def close(self):
        """flatiommu_device_close(): True when it is kept for the buffers."""
        if not self._device:
            return False
        self._release()
        try:
            kept = self._call("device_close")
        except Error:
            self._renew()
            raise
        self._context._parts.remove(self)
        self._end()
        return bool(kept)
