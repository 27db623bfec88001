"""The book as it is: prices, depth, cost of an order, walls. Pure."""
