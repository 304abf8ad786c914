//! What an unreadable credential or a junk token reads like.

use crate::rejection::{Reason, Rejection, RejectionKind};
use crate::token::Junk;
use crate::token::credential::CredentialError;

impl From<CredentialError> for Reason {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Missing => Self::NoCredential,
            CredentialError::OtherScheme => Self::OtherScheme,
            CredentialError::Malformed | CredentialError::NotB64Token => Self::Malformed,
            CredentialError::SeveralCredentials => Self::SeveralCredentials,
            CredentialError::TooLong => Self::TooLong,
        }
    }
}

impl From<CredentialError> for Rejection {
    /// RFC 6750 §3.1: a malformed request is 400, a token that cannot be one is 401, none at all is 401 without a code.
    fn from(error: CredentialError) -> Self {
        let kind = match error {
            CredentialError::Malformed | CredentialError::SeveralCredentials => {
                RejectionKind::InvalidRequest
            }
            CredentialError::Missing | CredentialError::OtherScheme => {
                RejectionKind::MissingCredential
            }
            CredentialError::TooLong | CredentialError::NotB64Token => RejectionKind::InvalidToken,
        };
        Self::new(kind, Reason::from(error))
    }
}

impl From<Junk> for Reason {
    fn from(junk: Junk) -> Self {
        match junk {
            Junk::UnknownPrefix => Self::UnknownPrefix,
            Junk::BadShape => Self::BadShape,
            Junk::BadChecksum => Self::BadChecksum,
        }
    }
}
