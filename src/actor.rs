//! Who asks, and what each role may do. Decided here and in the scoped finders of `entity`, nowhere else.

use uuid::Uuid;

use crate::entity::user::Role;
use crate::error::{Error, Result};

/// Who asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody we know.
    Anonymous,
    /// Somebody logged in.
    User {
        /// The user.
        id: Uuid,
        /// As what.
        role: Role,
        /// The log-in (`auth_sessions.family_id`).
        auth_session: Uuid,
    },
    /// The server itself, in a job.
    System {
        /// The kind of job.
        job: &'static str,
    },
}

impl Actor {
    /// The user's id.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::Forbidden`] for the system.
    pub fn user_id(&self) -> Result<Uuid> {
        match self {
            Self::User { id, .. } => Ok(*id),
            Self::Anonymous => Err(Error::Unauthenticated),
            Self::System { .. } => Err(Error::Forbidden),
        }
    }

    /// The user's id, if the user is a therapist.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::Forbidden`] for everybody else.
    pub fn therapist_id(&self) -> Result<Uuid> {
        match self {
            Self::User { id, role: Role::Therapist, .. } => Ok(*id),
            Self::Anonymous => Err(Error::Unauthenticated),
            _ => Err(Error::Forbidden),
        }
    }

    /// The user's id, if the user is an admin.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::Forbidden`] for everybody else.
    pub fn admin_id(&self) -> Result<Uuid> {
        match self {
            Self::User { id, role: Role::Admin, .. } => Ok(*id),
            Self::Anonymous => Err(Error::Unauthenticated),
            _ => Err(Error::Forbidden),
        }
    }

    /// Whether transcripts, notes for therapists, risk flags, audio and its file name may be shown: only to the
    /// therapist, and a therapist only ever gets hold of own sessions.
    #[must_use]
    pub fn reads_clinical_content(&self) -> bool {
        matches!(self, Self::User { role: Role::Therapist, .. } | Self::System { .. })
    }

    /// Role as it stands in the audit trail.
    #[must_use]
    pub fn role_name(&self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::User { role, .. } => role.as_str(),
            Self::System { .. } => "SYSTEM",
        }
    }
}

/// Where a request comes from: goes into the audit trail beside the actor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Id of the request or job.
    pub request_id: String,
    /// Address of the client.
    pub ip: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}
