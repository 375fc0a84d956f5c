"""How the fields of types are declared, and how both execution paths read them."""
