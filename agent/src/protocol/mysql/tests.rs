use super::*;
use crate::protocol::testing;

const RECORDINGS: &str = "src/protocol/mysql/recordings";

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
    mariadb_cli,
    pymysql_infile,
    pymysql_large,
    pymysql_prepare,
    pymysql_refused,
    pymysql_simple
);
