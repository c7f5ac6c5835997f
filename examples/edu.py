#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""edu.py BDF [ADDRESS_BITS]: edu.c in Python. An edu device copies 2 KiB into itself and back."""
import asyncio
import sys

import flatiommu

ID, IRQ_STATUS, IRQ_ACK, FROM, TO, COUNT, COMMAND = 0x00, 0x24, 0x64, 0x80, 0x88, 0x90, 0x98
START, TO_MEMORY, INTERRUPT = 1, 2, 4
DEVICE_MEMORY, SIZE = 0x40000, 2048


async def copy(regs, irq, source, target, command):
    for register, value in ((FROM, source), (TO, target), (COUNT, SIZE)):
        regs.write64(register, value)
    regs.write64(COMMAND, command | START | INTERRUPT)
    await asyncio.wait_for(irq.next(), 10)
    regs.write32(IRQ_ACK, regs.read32(IRQ_STATUS))


async def main(bdf, bits=28):
    with flatiommu.Context() as flat:
        edu = flat.open(bdf)
        regs, irq = edu.bar(0), edu.irq(flatiommu.Irq.MSI)
        dma = flat.alloc(2 * SIZE, address_bits=int(bits), flags=flatiommu.DMA_CONTIGUOUS)
        edu.bus_master(True)
        print(f"id       {regs.read32(ID):#x}\nbackend  {flat.backend}")
        dma.memory[:SIZE] = b"\xa5" * SIZE
        await copy(regs, irq, dma.address(), DEVICE_MEMORY, 0)
        await copy(regs, irq, DEVICE_MEMORY, dma.address(SIZE), TO_MEMORY)
        print("copied  ", "2048 bytes, there and back" if dma.memory[:SIZE] == dma.memory[SIZE:]
              else "wrongly")

asyncio.run(main(*sys.argv[1:]))
