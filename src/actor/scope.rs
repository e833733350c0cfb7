//! What an API key may do. A key may do nothing but what one of its scopes names.

use async_graphql::Enum;

use crate::error::{Error, Result};

/// Something an API key may do, on its owner's behalf and with its owner's data only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enum)]
#[graphql(name = "ApiKeyScope")]
pub enum Scope {
    /// `analytics:read`: the figures of the practice and of each patient's progress, and when they are worked out.
    AnalyticsRead,
    /// `patients:read`: patient records, with names and contacts, wherever they stand beside something else.
    PatientsRead,
    /// `exports:read`: documents that were asked for, and their files, with everything that is in them.
    ExportsRead,
    /// `sessions:read`: sessions, their appointments, and how far they are processed; no transcript and no notes.
    SessionsRead,
    /// `sessions:write`: plan, enter and change sessions, send recordings, and have them processed.
    SessionsWrite,
    /// `notes:read`: the clinical notes and the screen for risk of sessions that the key can read.
    NotesRead,
    /// `transcripts:read`: transcripts, of sessions that the key can read and live.
    TranscriptsRead,
    /// `exports:write`: ask for documents, and delete them.
    ExportsWrite,
    /// `webhooks:manage`: webhooks and their deliveries.
    WebhooksManage,
    /// `audit:read`: the owner's view of the audit trail.
    AuditRead,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 10] = [
        Self::AnalyticsRead,
        Self::PatientsRead,
        Self::ExportsRead,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::NotesRead,
        Self::TranscriptsRead,
        Self::ExportsWrite,
        Self::WebhooksManage,
        Self::AuditRead,
    ];

    /// As people write it, and as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnalyticsRead => "analytics:read",
            Self::PatientsRead => "patients:read",
            Self::ExportsRead => "exports:read",
            Self::SessionsRead => "sessions:read",
            Self::SessionsWrite => "sessions:write",
            Self::NotesRead => "notes:read",
            Self::TranscriptsRead => "transcripts:read",
            Self::ExportsWrite => "exports:write",
            Self::WebhooksManage => "webhooks:manage",
            Self::AuditRead => "audit:read",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The scopes of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    /// As they are stored. One that nobody knows any more allows nothing.
    #[must_use]
    pub fn stored(names: &[String]) -> Self {
        Scope::ALL.into_iter().filter(|scope| names.iter().any(|name| name == scope.as_str())).collect()
    }

    /// Whether the scope is one of them.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether one of these scopes is one of them.
    #[must_use]
    pub fn has_any(self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.has(*scope))
    }

    /// Asks for a scope.
    ///
    /// # Errors
    /// [`Error::LacksScope`].
    pub fn require(self, scope: Scope) -> Result<()> {
        if self.has(scope) { Ok(()) } else { Err(Error::LacksScope(scope)) }
    }

    /// Each of them, in the order of the list.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_stored_by_name_and_unknown_names_allow_nothing() {
        for scope in Scope::ALL {
            let scopes = Scopes::stored(&[scope.as_str().to_owned(), "users:write".to_owned()]);
            assert_eq!(scopes.iter().collect::<Vec<_>>(), [scope]);
            assert!(scopes.require(scope).is_ok());
            let others = Scope::ALL.into_iter().filter(|other| *other != scope);
            assert!(others.clone().all(|other| !scopes.has(other) && scopes.require(other).is_err()));
            assert!(!scopes.has_any(&others.collect::<Vec<_>>()) && scopes.has_any(&[scope]));
        }
        assert_eq!(Scopes::stored(&["*".to_owned(), "analytics".to_owned()]), Scopes::default());
    }
}
