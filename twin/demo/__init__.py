"""The demonstration: a simulated day over a real wire, watched live, with the account at the end."""
