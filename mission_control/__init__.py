"""The package of a wheel: it contains the packages of the checkout, which import each other."""
