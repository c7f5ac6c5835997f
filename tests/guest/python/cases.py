# SPDX-License-Identifier: MIT
"""cases.py NAME EDU TESTDEV SHM NVME: what python.t tests, each in a process of its own."""
import asyncio
import ctypes
import errno
import gc
import mmap
import os
import pickle
import resource
import sys
import weakref

import flatiommu
from flatiommu import Context, Error, Irq

EDU, TESTDEV, SHM, NVME = sys.argv[2:]
ID = 0x010000ed
FROM, TO, COUNT, COMMAND = 0x80, 0x88, 0x90, 0x98
DEVICE_MEMORY, SIZE = 0x40000, 2048


def raises(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def refused(code, words, call, *arguments, **named):
    error = raises(Error, call, *arguments, **named)
    assert error.errno == code and words in error.strerror, error


def edu_copy(regs, source, target, command, size=SIZE):
    for register, value in ((FROM, source), (TO, target), (COUNT, size), (COMMAND, command | 1)):
        regs.write64(register, value)
    while regs.read64(COMMAND) & 1:
        pass


def copies(regs, source, target):
    """From one bus address to another one."""
    edu_copy(regs, source, DEVICE_MEMORY, 0)
    edu_copy(regs, DEVICE_MEMORY, target, 2)


def enumerates():
    edus = flatiommu.functions(vendor=0x1234, device=0x11e8)
    assert [f.name for f in edus] == [EDU, "0000:02:00.1"], edus
    assert edus[0].driver == "vfio-pci" and edus[0].class_code == 0x00ff00
    assert edus[0].flags == flatiommu.FUNCTION_CLAIMED and edus[1].flags == 0
    on_vfio = flatiommu.functions(driver="vfio-pci")
    assert [f.name for f in on_vfio] == [EDU, TESTDEV, SHM], on_vfio
    assert flatiommu.functions(pf=EDU) == []
    assert flatiommu.function("00:06.0").name == EDU
    refused(errno.ENODEV, "00:06.7", flatiommu.function, "00:06.7")


def maps_registers():
    with Context() as flat:
        edu = flat.open(EDU)
        with edu.bar(0) as regs:
            assert regs.read32(0) == ID and len(regs) == len(regs.memory) == 1 << 20
            regs.write32(4, 0x12345678)
            assert regs.read32(4) == 0xffffffff ^ 0x12345678
            for offset in (-4, 2, 1 << 20):
                raises(IndexError, regs.read32, offset)
            view = regs.memory
        raises(ValueError, regs.read32, 0)
        raises(ValueError, view.tobytes)
        part = edu.bar(0, 4, 8)
        assert len(part) == 8 and part.read32(0) == 0xffffffff ^ 0x12345678
        refused(errno.ENXIO, "no region 1", edu.bar, 1)
        assert edu.region_size(0) == 1 << 20
        assert int.from_bytes(edu.region_read(0, 0, 4), "little") == ID
        # the memory of another one, as bytes
        shm = flat.open(SHM).bar(2)
        shm.memory[4096:4099] = b"abc"
        assert bytes(shm.memory[4096:4099]) == b"abc" and shm.read8(4098) == ord("c")
        view = shm.memory
    raises(ValueError, view.tobytes)
    raises(ValueError, part.read32, 0)
    raises(ValueError, flat.open, EDU)


def reads_config_space():
    with Context() as flat:
        edu = flat.open(EDU)
        assert edu.config_read(0, 2) == 0x1234 and edu.config_read(0, 4) == 0x11e81234
        edu.config_write(0x3c, 1, 0x5a)
        assert edu.config_read(0x3c, 1) == 0x5a
        at = edu.capability(5)
        assert at and edu.config_read(at, 1) == 5 and edu.capability(5, at) is None
        assert edu.extended_capability(0x10) is None
        assert edu.info.bars[0] and edu.info.group >= 0
        assert edu.name == EDU and os.fstat(edu.fileno())


def says_why():
    with Context() as flat:
        refused(errno.ENXIO, "Cure: flatiommu bind", flat.open, NVME)
        refused(errno.ENODEV, "open a device first", flat.alloc, 1)
        refused(errno.EINVAL, "not a PCI address", flat.open, "edu")
        edu = flat.open(EDU)
        refused(errno.EBUSY, "open in this context", flat.open, EDU)
        # a name of an option that there is not
        raises(TypeError, flat.alloc, 1, colour=1)
        assert edu.close() is False and edu.close() is False
        raises(ValueError, edu.reset)
    with Context(backend="none") as flat:
        refused(errno.EINVAL, "no such backend", flat.open, EDU)


def has_buffers():
    with Context() as flat:
        edu = flat.open(EDU)
        regs = edu.bar(0)
        edu.bus_master(True)
        dma = flat.alloc(64 * 4096, address_bits=64)
        assert len(dma) == len(dma.memory) == sum(length for _, length in dma.segments) == 64 * 4096
        assert dma.address() == dma.segments[0][0] and dma.address(5) == dma.address() + 5
        raises(IndexError, dma.address, 64 * 4096)
        parts = dma.gather(4096, 8192, max_length=512)
        assert len(parts) == 16 and parts[0] == (dma.address(4096), 512)
        refused(errno.EADDRNOTAVAIL, "gather", dma.gather, 1, 8, alignment=4)
        dma.memory[:SIZE] = os.urandom(SIZE)
        copies(regs, dma.address(), dma.address(4096 * 7))
        assert dma.memory[:SIZE] == dma.memory[4096 * 7:4096 * 7 + SIZE]
        # memory of the program's
        own = mmap.mmap(-1, 8192)
        with flat.map(own) as mapped:
            copies(regs, dma.address(), mapped.address(SIZE))
            raises(BufferError, own.close)
        assert own[SIZE:2 * SIZE] == bytes(dma.memory[:SIZE])
        own.close()
        # what another object has is not freed
        taken = pickle.PickleBuffer(dma.memory)
        raises(BufferError, dma.close)
        taken.release()
        copies(regs, dma.address(), dma.address(4096))
        for another in (lambda m: m[5:9], memoryview, (ctypes.c_char * 8).from_buffer):
            view = another(dma.memory)
            raises(BufferError, dma.close)
            raises(BufferError, flat.close)
            del view
            copies(regs, dma.address(), dma.address(4096))
        # one in a cycle, which nobody has any more
        cycle = [dma.memory[:1]]
        cycle.append(cycle)
        del cycle
        dma.close()
        raises(ValueError, dma.address)
        # a context that is closed by its end only
        dma = flat.alloc(4096)
        taken = pickle.PickleBuffer(dma.memory)
        raises(BufferError, flat.close)
        assert regs.read32(0) == ID and len(dma.memory) == 4096
        taken.release()


def cuts_no_numbers():
    with Context() as flat:
        edu = flat.open(EDU)
        regs = edu.bar(0)
        regs.write32(4, 0xffffffff)
        for value in (1 << 32, -1):
            raises(ctypes.ArgumentError, regs.write32, 4, value)
        raises(ctypes.ArgumentError, regs.write8, 4, 256)
        raises(ctypes.ArgumentError, regs.write64, FROM, 1 << 64)
        raises(ctypes.ArgumentError, edu.irqs, Irq.MSI, 1, 1 << 32)
        raises(OverflowError, flat.alloc, 4096, address_bits=(1 << 32) + 28)
        raises(OverflowError, flat.alloc, 4096, node=1 << 31)
        raises(OverflowError, flatiommu.functions, vendor=0x18086)
        assert regs.read32(4) == 0


def keeps_memory_until_stopped():
    flat, own, seen = Context(), mmap.mmap(-1, 4096), []
    flat.open(EDU)
    flat.map(own)
    forgotten = weakref.ref(flat)
    close = flatiommu.lib.flatiommu_close

    def closes(handle):
        seen.append(raises(BufferError, own.close))
        close(handle)
    flatiommu.lib.flatiommu_close = closes
    del flat
    gc.collect()
    forgotten().close()
    assert len(seen) == 1
    own.close()
    # memory that the library says it cannot unmap
    flatiommu.lib.flatiommu_close = close
    free, own = flatiommu.lib.flatiommu_dma_free, mmap.mmap(-1, 4096)
    with Context() as flat:
        flat.open(EDU)
        flatiommu.lib.flatiommu_dma_free = lambda dma: free(dma) or -errno.EIO
        raises(Error, flat.map(own).close)
        gc.collect()
        raises(BufferError, own.close)
        flatiommu.lib.flatiommu_dma_free = free


def leaks_no_files():
    with Context() as flat:
        edu = flat.open(EDU)
        before = os.listdir("/proc/self/fd")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) + 16, limits[1]))
        assert raises(OSError, edu.irqs, Irq.MSI, 100).errno == errno.EMFILE
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert os.listdir("/proc/self/fd") == before
        # an eventfd with a high number
        files = [os.dup(0) for _ in range(1030)] if limits[0] > 1100 else []
        irq = edu.irq(Irq.MSI)
        irq.trigger()
        assert irq.wait(10) == 1
        for file in files:
            os.close(file)


def has_pools():
    with Context() as flat:
        edu = flat.open(EDU)
        regs = edu.bar(0)
        edu.bus_master(True)
        pool = flat.pool(flags=flatiommu.POOL_POISON, boundary=4096, memory={"address_bits": 64})
        small = [pool.alloc(64) for _ in range(100)]
        assert len({piece.address() for piece in small}) == 100
        assert all(piece.address() % 64 == 0 and len(piece) == len(piece.memory) == 64 for piece in small)
        source, target = pool.alloc(SIZE - 1), pool.alloc(SIZE)
        assert len(source) == SIZE and source.address(5) == source.address() + 5
        raises(IndexError, source.address, SIZE)
        assert bytes(source.memory) == bytes(SIZE)
        source.memory[:] = os.urandom(SIZE)
        copies(regs, source.address(), target.address())
        assert target.memory == source.memory
        refused(errno.E2BIG, "4096", pool.alloc, 4097)
        raises(TypeError, flat.pool, colour=1)
        raises(TypeError, flat.pool, memory={"colour": 1})
        refused(errno.EINVAL, "boundary 5", flat.pool, boundary=5)
        # freed once, and told when the device has written to it since
        late = small.pop()
        view, address = late.memory, late.address()
        late.close()
        late.close()
        raises(ValueError, view.tobytes)
        raises(ValueError, late.address)
        edu_copy(regs, source.address(), DEVICE_MEMORY, 0)
        edu_copy(regs, DEVICE_MEMORY, address, 2, 64)
        refused(errno.EUCLEAN, "after they were freed", pool.alloc, 64)
        # what another object has is not freed, nor its pool, nor its context
        taken = pickle.PickleBuffer(target.memory)
        for part in (target, pool, flat):
            raises(BufferError, part.close)
        copies(regs, target.address(), source.address())
        taken.release()
        pool.close()
        raises(ValueError, len, target)
        raises(ValueError, pool.alloc, 64)
        pool = flat.pool()
        piece = pool.alloc(4096)
    # the context has ended them
    raises(ValueError, piece.address)
    raises(ValueError, pool.alloc, 64)


def has_peers():
    with Context() as flat:
        edu, shm = flat.open(EDU), flat.open(SHM)
        regs = edu.bar(0)
        edu.bus_master(True)
        window, memory = shm.bar(2), flat.alloc(4096)
        peer = shm.bar_dma(2, 8192, 4096, address_bits=64)
        memory.memory[:SIZE] = os.urandom(SIZE)
        copies(regs, memory.address(), peer.address(100))
        assert peer.memory[100:100 + SIZE] == memory.memory[:SIZE]
        assert window.memory[8292:8292 + SIZE] == memory.memory[:SIZE]
        refused(errno.EBUSY, "buffers of its BARs", shm.close)
        # nothing has changed
        assert window.memory[8292:8292 + SIZE] == memory.memory[:SIZE]
        peer.close()
        shm.close()


async def has_interrupts():
    with Context() as flat:
        edu = flat.open(EDU)
        with edu.irq(Irq.MSI) as irq:
            try:
                await asyncio.wait_for(irq.next(), 0.2)
                raise AssertionError("an interrupt that nobody sent")
            except asyncio.TimeoutError:
                pass
            waiting = asyncio.create_task(irq.next())
            await asyncio.sleep(0.1)
            assert not waiting.done()
            irq.trigger()
            irq.trigger()
            assert await asyncio.wait_for(waiting, 10) in (1, 2)
            irq.read()
            raises(TimeoutError, irq.wait, 0.1)
            irq.trigger()
            assert irq.wait(10) == 1 and irq.read() is None
            irq.trigger()
            async for count in irq:
                assert count == 1
                break
            waiting = asyncio.create_task(irq.next())
            await asyncio.sleep(0.1)
        # whoever waits hears that it is closed
        try:
            await asyncio.wait_for(waiting, 10)
            raise AssertionError("an interrupt that is closed")
        except ValueError:
            pass
        raises(ValueError, irq.read)
        # the vector is still enabled
        refused(errno.EBUSY, "MSI", edu.irq, Irq.INTX)
        edu.irq_disable(Irq.MSI)
        assert edu.irq_vectors(Irq.MSI) == 1 and edu.irq_vectors(Irq.MSIX) == 0
        edu.irq(Irq.REQUEST).trigger()


async def monitors():
    path = f"/sys/bus/pci/devices/{TESTDEV}/driver/unbind"
    with flatiommu.Monitor() as monitor:
        assert monitor.read() is None
        with open(path, "w", encoding="ascii") as unbind:
            unbind.write(TESTDEV)
        while (event := await asyncio.wait_for(monitor.next(), 20)).name != TESTDEV:
            pass
        assert event.kind == flatiommu.EventKind.UNBOUND and event.driver == ""
        with open("/sys/bus/pci/drivers/vfio-pci/bind", "w", encoding="ascii") as bind:
            bind.write(TESTDEV)
        async for event in monitor:
            if event.name == TESTDEV:
                break
        assert event.kind == flatiommu.EventKind.BOUND and event.driver == "vfio-pci"


case = globals()[sys.argv[1]]
if asyncio.iscoroutinefunction(case):
    asyncio.run(case())
else:
    case()
