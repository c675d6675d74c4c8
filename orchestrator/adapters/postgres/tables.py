"""The metadata that all tables share. Each noun has its own tables; the migrations create them."""

from sqlalchemy import MetaData

metadata = MetaData()
