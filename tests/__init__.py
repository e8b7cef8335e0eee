"""The tests: they mirror shipper/, the fakes and real servers stand beside them."""
