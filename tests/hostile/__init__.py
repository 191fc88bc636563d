"""Inputs as an attacker would write them: messages, entries of the ledger, manifests, files, pipelines."""
