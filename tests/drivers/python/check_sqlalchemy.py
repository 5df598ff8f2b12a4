"""SQLAlchemy with its default settings, over psycopg2 and over psycopg 3: Core, ORM, reflection, its own pool."""

import decimal
import threading

from common import DATABASE, HOST, PASSWORD, PORT, SSLMODE, USER, equal
from sqlalchemy import URL, MetaData, Table, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    amount: Mapped[decimal.Decimal | None]


def check(driver: str):
    engine = create_engine(URL.create(f"postgresql+{driver}", USER, PASSWORD, HOST, PORT, DATABASE,
                                      query={"sslmode": SSLMODE}))
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE items"))
    with Session(engine) as session:
        session.add_all([Item(name=f"{driver} {n}", amount=decimal.Decimal(n)) for n in range(500)])
        session.commit()
        equal(session.scalar(select(func.count()).select_from(Item)), 500, f"{driver}: insert many values")
        first = session.scalars(select(Item).order_by(Item.id).limit(1)).one()
        first.amount = decimal.Decimal("12.34")
        session.flush()
        session.rollback()
        equal(session.get(Item, first.id).amount, decimal.Decimal(0), f"{driver}: rollback")
        with session.begin_nested() as savepoint:
            session.add(Item(name="in a savepoint"))
            session.flush()
            savepoint.rollback()
        session.commit()
        session.add(Item(name=f"{driver} 1"))
        try:
            session.commit()
            raise AssertionError("a duplicate was taken")
        except IntegrityError as error:
            equal(type(error.orig).__name__, "UniqueViolation", f"{driver}: error")
    table = Table("items", MetaData(), autoload_with=engine)
    equal([column.name for column in table.columns], ["id", "name", "amount", "made"], f"{driver}: reflection")
    equal([unique["name"] for unique in inspect(engine).get_unique_constraints("items")], ["items_name_key"],
          f"{driver}: inspection")

    serializable = engine.execution_options(isolation_level="SERIALIZABLE")
    with serializable.connect() as connection:
        equal(connection.scalar(text("SHOW transaction_isolation")), "serializable", f"{driver}: isolation")
    with engine.connect() as connection:
        equal(connection.scalar(text("SHOW transaction_isolation")), "read committed", f"{driver}: isolation of the next")
    with engine.connect().execution_options(stream_results=True) as connection:
        equal(sum(row[0] for row in connection.execute(text("SELECT n FROM generate_series(1, 5000) n"))), 12502500,
              f"{driver}: streamed rows")

    wrong = []

    def work(number: int):
        try:
            for step in range(20):
                with engine.connect() as connection:
                    if connection.scalar(text("SELECT :a + :b"), {"a": number, "b": step}) != number + step:
                        wrong.append(number)
        except DBAPIError as error:
            wrong.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(wrong, [], f"{driver}: threads")
    engine.dispose()


for each in ("psycopg2", "psycopg"):
    check(each)
