"""What a web site needs besides jobs, without a web framework: uploads, pipelines of users, and downloads of results."""
