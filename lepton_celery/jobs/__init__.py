"""Jobs, submitted or run here, followed, cancelled and resumed."""
