"""Every API of asyncio, interrupted at every turn of the loop: see README.md."""
