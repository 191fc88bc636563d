"""What people see of jobs and of the fleet: one reader of the ledger for pages, the HTTP API, commands and notebooks."""
