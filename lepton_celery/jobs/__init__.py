"""Jobs, submitted or run here, followed, cancelled, resumed and tried again."""
