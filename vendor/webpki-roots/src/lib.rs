//! The list of certificate authorities that programs trust by themselves, and it is empty.
//!
//! The database driver adds this list to whatever `sslrootcert` names, and cannot be told not to.
//! With `sslmode=verify-ca`, which looks at no name, anybody with a certificate for anything would
//! then be taken for the database. Nothing else in the tree uses the list.

/// None.
pub const TLS_SERVER_ROOTS: &[pki_types::TrustAnchor<'static>] = &[];
