"""Entry points of worker processes and Flower; nothing imports them."""
