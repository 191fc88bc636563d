"""What `lepton doctor` checks. Each module looks at one thing a job depends on and gives findings:

server      the broker and the ledger: answers, keeps what it is told, never drops it
timeouts    settings that contradict each other
about       what one process says of itself: versions, settings, pool, memory
workers     what all workers said, compared with each other and with this machine
folders     whether every worker reads and writes the same files
"""
