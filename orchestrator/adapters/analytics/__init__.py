"""Analytics in PostgreSQL: the cells that one worker at a time maintains, and the queries on them."""
