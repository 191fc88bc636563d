"""The checks of `lepton doctor`; each module looks at one thing that jobs depend on. May import: ledger and below.

server      the broker and the ledger: whether they answer, keep what they are told, and drop nothing
timeouts    settings that contradict each other
about       what one process says of itself: versions, settings, pool, memory
workers     what all workers said, compared with each other and with this machine
folders     whether every worker reads and writes the same files
finding     findings, and the tables of checks that make them
"""
