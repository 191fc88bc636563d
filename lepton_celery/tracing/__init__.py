"""Traces of jobs for OpenTelemetry: job, stage and batch, in a program that has configured it."""
