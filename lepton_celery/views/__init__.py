"""What people see of jobs and of the fleet: one reader of the ledger for Flower, the HTTP API, commands and notebooks."""
