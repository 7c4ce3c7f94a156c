"""The ground floor: values and facts that every room shares; imports nothing of the rest."""
