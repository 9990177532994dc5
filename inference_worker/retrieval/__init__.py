"""Finding adapters by meaning: encoders turn texts into unit vectors."""
