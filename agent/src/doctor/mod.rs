//! `clew doctor`.
