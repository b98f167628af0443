use super::*;
use crate::protocol::{Likeness, Sample, testing};

const RECORDINGS: &str = "src/protocol/postgres/recordings";

macro_rules! recordings {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            testing::check(RECORDINGS, stringify!($name), ENTRY.make);
            testing::survives(RECORDINGS, stringify!($name), ENTRY.make);
        }
    )*};
}

recordings!(
    pgx,
    psql,
    psycopg_simple,
    psycopg_extended,
    psycopg_cursors,
    psycopg_pipeline,
    psycopg_copy,
    psycopg_large,
    psycopg_scram,
    psycopg_refused
);
