"""Volume by price: value area, nodes, zones with little volume. Pure."""
