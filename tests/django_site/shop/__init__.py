"""An app of the site: it notes what it is told of the ends of jobs."""
