//! What holds of any connection.
