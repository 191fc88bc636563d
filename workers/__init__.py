"""Entry points that processes are started with; nothing imports them."""
