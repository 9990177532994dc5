"""What an operator asks: is the process alive, is the system whole, how much does it do."""
