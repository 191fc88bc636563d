"""Chaos: jobs run while processes, messages, connections, folders, disks and clocks fail at random; the outputs are right.

Damaged and hostile entries and messages are beside them, other releases take messages, users cancel and submit twice.
Nothing may be left in the end: no key, file, process or message.

python -m tests.chaos --seconds 300 --seed 1
"""
