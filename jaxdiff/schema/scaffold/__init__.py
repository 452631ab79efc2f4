"""Any node -> a value by decisions and texts, valid by construction."""
