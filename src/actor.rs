//! Who asks, and what each role and each scope of an API key may do. Decided here and in the scoped finders of `entity`,
//! nowhere else.
//!
//! What is for people only asks for the user, the therapist, the admin: an API key passes none of these. What is for keys as
//! well names the scope that it takes, in [`Actor::logged_in_or`] and [`Actor::therapist_or`]; there is no way to let a key
//! in without naming one.

pub mod scope;

use chrono_tz::Tz;
use uuid::Uuid;

use self::scope::{Scope, Scopes};
use crate::entity::user::{self, Role};
use crate::error::{Error, Result};

/// Who asks for something. Equal ones have the same rights, and are told the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
        /// Where: what is a day for them.
        zone: Tz,
    },
    /// An API key of a therapist: it sees the owner's rows and nobody else's, and of these what its scopes say.
    ApiKey {
        /// The key.
        id: Uuid,
        /// The therapist.
        owner: Uuid,
        /// What it may do.
        scopes: Scopes,
        /// Where the owner is.
        zone: Tz,
    },
    /// The server itself, in a job.
    System {
        /// The kind of job.
        job: &'static str,
    },
}

/// How much of a session's notes somebody may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotesView {
    /// The notes as they are now, with everything they rest on.
    Latest,
    /// Summary, strategies and action items of the version that was released, as text.
    Released,
}

impl Actor {
    /// A user in a log-in.
    #[must_use]
    pub fn user(user: &user::Model, auth_session: Uuid) -> Self {
        Self::User { id: user.id, role: user.role, auth_session, zone: user.zone() }
    }

    /// Whether an API key asks, which may see only what its scopes say.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self, Self::ApiKey { .. })
    }

    /// The user's id.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::NotForKeys`] for keys, [`Error::Forbidden`] for the system.
    pub fn user_id(&self) -> Result<Uuid> {
        match self {
            Self::User { id, .. } => Ok(*id),
            _ => Err(self.no_user()),
        }
    }

    /// The id of the user who asks, or whose API key does: to say who that is, and for nothing else.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::Forbidden`] for the system.
    pub fn account_id(&self) -> Result<Uuid> {
        match self {
            Self::ApiKey { owner, .. } => Ok(*owner),
            _ => self.user_id(),
        }
    }

    /// Lets in whoever is logged in, and an API key that has the scope.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::LacksScope`] for keys without the scope,
    /// [`Error::Forbidden`] for the system.
    pub fn logged_in_or(&self, scope: Scope) -> Result<()> {
        match self {
            Self::User { .. } => Ok(()),
            Self::ApiKey { scopes, .. } => scopes.require(scope),
            _ => Err(self.no_user()),
        }
    }

    /// The time zone whose days count; that of nobody is UTC.
    #[must_use]
    pub fn zone(&self) -> Tz {
        match self {
            Self::User { zone, .. } | Self::ApiKey { zone, .. } => *zone,
            Self::Anonymous | Self::System { .. } => Tz::UTC,
        }
    }

    /// The user's id, if the user is a therapist.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::NotForKeys`] for keys, [`Error::Forbidden`] for everybody
    /// else.
    pub fn therapist_id(&self) -> Result<Uuid> {
        match self {
            Self::User { id, role: Role::Therapist, .. } => Ok(*id),
            _ => Err(self.no_user()),
        }
    }

    /// The id of the therapist who asks, or whose API key does, if that has the scope.
    ///
    /// # Errors
    /// [`Error::LacksScope`] for keys without the scope, else those of [`therapist_id`](Self::therapist_id).
    pub fn therapist_or(&self, scope: Scope) -> Result<Uuid> {
        match self {
            Self::ApiKey { owner, scopes, .. } => scopes.require(scope).map(|()| *owner),
            _ => self.therapist_id(),
        }
    }

    /// Who is not let in as a user, and why.
    fn no_user(&self) -> Error {
        match self {
            Self::Anonymous => Error::Unauthenticated,
            Self::ApiKey { .. } => Error::NotForKeys,
            Self::User { .. } | Self::System { .. } => Error::Forbidden,
        }
    }

    /// The user's id, if the user is an admin.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::Forbidden`] for everybody else.
    pub fn admin_id(&self) -> Result<Uuid> {
        match self {
            Self::User { id, role: Role::Admin, .. } => Ok(*id),
            _ => Err(self.no_user()),
        }
    }

    /// Whose runs that keep analytics right may be followed: of their own figures by therapists and their keys, everybody's
    /// (`None`) by admins.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::LacksScope`] for keys without `analytics:read`,
    /// [`Error::Forbidden`] for everybody else.
    pub fn follows_aggregation(&self) -> Result<Option<Uuid>> {
        match self {
            Self::User { role: Role::Admin, .. } => Ok(None),
            _ => self.therapist_or(Scope::AnalyticsRead).map(Some),
        }
    }

    /// Whose files may be cleaned up: a therapist's own, or everybody's (`None`).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::NotForKeys`] for keys, [`Error::Forbidden`] for patients.
    pub fn cleans_up_files_of(&self) -> Result<Option<Uuid>> {
        match self {
            Self::User { id, role: Role::Therapist, .. } => Ok(Some(*id)),
            Self::User { role: Role::Admin, .. } | Self::System { .. } => Ok(None),
            _ => Err(self.no_user()),
        }
    }

    /// The user's id, if the user is a patient.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anonymous askers, [`Error::Forbidden`] for everybody else.
    pub fn patient_user_id(&self) -> Result<Uuid> {
        match self {
            Self::User { id, role: Role::Patient, .. } => Ok(*id),
            _ => Err(self.no_user()),
        }
    }

    /// Whether transcripts, risk screens, audio and its file name and messages of failures may be shown: only to the
    /// therapist, and a therapist only ever gets hold of own sessions; to a key that has the scope for it.
    #[must_use]
    pub fn reads_clinical_content(&self, scope: Scope) -> bool {
        match self {
            Self::User { role: Role::Therapist, .. } | Self::System { .. } => true,
            Self::ApiKey { scopes, .. } => scopes.has(scope),
            Self::User { .. } | Self::Anonymous => false,
        }
    }

    /// Whether it may be shown what a session has cost: only to the therapist.
    #[must_use]
    pub fn knows_costs(&self) -> bool {
        matches!(self, Self::User { role: Role::Therapist, .. } | Self::System { .. })
    }

    /// How much of a session's notes may be shown: all of them to the therapist and to keys with `notes:read`, what was
    /// released to the patient, and nothing to admins and strangers.
    #[must_use]
    pub fn notes_view(&self) -> Option<NotesView> {
        match self {
            Self::User { role: Role::Therapist, .. } | Self::System { .. } => Some(NotesView::Latest),
            Self::User { role: Role::Patient, .. } => Some(NotesView::Released),
            Self::ApiKey { scopes, .. } => scopes.has(Scope::NotesRead).then_some(NotesView::Latest),
            Self::User { role: Role::Admin, .. } | Self::Anonymous => None,
        }
    }

    /// Whether patients' names and contacts may be shown: to the therapist, to keys with `patients:read`, and to the patients
    /// themselves. Admins see that a record exists, not whose it is.
    #[must_use]
    pub fn knows_patients_by_name(&self) -> bool {
        match self {
            Self::User { role: Role::Therapist | Role::Patient, .. } | Self::System { .. } => true,
            Self::ApiKey { scopes, .. } => scopes.has(Scope::PatientsRead),
            Self::User { role: Role::Admin, .. } | Self::Anonymous => false,
        }
    }

    /// Whether the name of an account may be shown. Admins know those of staff; a patient's account is as nameless to them
    /// as the record, and so it is to keys.
    #[must_use]
    pub fn knows_accounts_by_name(&self, of: Role) -> bool {
        match self {
            Self::User { role: Role::Admin, .. } => of != Role::Patient,
            Self::ApiKey { .. } => of != Role::Patient || self.knows_patients_by_name(),
            Self::User { .. } | Self::Anonymous | Self::System { .. } => true,
        }
    }

    /// Whether the e-mail address of an account may be shown, which is half of what it takes to log in: to the user, and
    /// to admins where they know the name.
    #[must_use]
    pub fn knows_email_of(&self, user: &user::Model) -> bool {
        match self {
            Self::User { id, .. } if *id == user.id => true,
            Self::User { role: Role::Admin, .. } => self.knows_accounts_by_name(user.role),
            _ => false,
        }
    }

    /// Whether it may be told from where, and in which log-in, somebody did something: to admins, and to who did it.
    #[must_use]
    pub fn knows_whereabouts_of(&self, doer: Option<Uuid>) -> bool {
        match self {
            Self::User { role: Role::Admin, .. } => true,
            Self::User { id, .. } | Self::ApiKey { owner: id, .. } => doer == Some(*id),
            Self::Anonymous | Self::System { .. } => false,
        }
    }

    /// Whether it may be told whose record was refused to somebody: not to themselves, who must not learn that it exists.
    #[must_use]
    pub fn knows_whose_record_was_refused_to(&self, doer: Option<Uuid>) -> bool {
        match self {
            Self::User { role: Role::Admin, .. } => true,
            Self::User { id, .. } | Self::ApiKey { owner: id, .. } => doer != Some(*id),
            Self::Anonymous | Self::System { .. } => false,
        }
    }

    /// Whether the one who did something to a record may be named. Patients hear the names of therapists, and their own;
    /// not those of staff who look after the server.
    #[must_use]
    pub fn knows_doer_by_name(&self, doer: &user::Model) -> bool {
        match self {
            Self::User { id, role: Role::Patient, .. } => *id == doer.id || doer.role == Role::Therapist,
            _ => self.knows_accounts_by_name(doer.role),
        }
    }

    /// Refuses to search by names and contacts on behalf of those who may not see them: whoever can probe for a name
    /// knows it in the end.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn may_search_patients(&self) -> Result<()> {
        if self.knows_patients_by_name() { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// Role as it stands in the audit trail.
    #[must_use]
    pub fn role_name(&self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::User { role, .. } => role.as_str(),
            Self::ApiKey { .. } => "API_KEY",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: impl IntoIterator<Item = Scope>) -> Actor {
        let scopes = scopes.into_iter().collect();
        Actor::ApiKey { id: Uuid::now_v7(), owner: Uuid::now_v7(), scopes, zone: Tz::UTC }
    }

    #[test]
    fn a_key_with_every_scope_is_nobody_where_people_are_asked_for() {
        let key = key(Scope::ALL);
        let refused = [key.user_id(), key.therapist_id(), key.admin_id(), key.patient_user_id()];
        assert!(refused.iter().all(|refused| matches!(refused, Err(Error::NotForKeys))), "{refused:?}");
        assert!(matches!(key.cleans_up_files_of(), Err(Error::NotForKeys)));
        assert!(!key.knows_costs());
    }

    #[test]
    fn a_key_is_its_owner_where_one_of_its_scopes_is_named_and_nowhere_else() {
        for scope in Scope::ALL {
            let key = key([scope]);
            let Actor::ApiKey { owner, .. } = key else { panic!("a key") };
            for asked in Scope::ALL {
                let (is_in, therapist) = (key.logged_in_or(asked), key.therapist_or(asked));
                if asked == scope {
                    assert!(is_in.is_ok() && therapist.is_ok_and(|id| id == owner));
                } else {
                    assert!(matches!(is_in, Err(Error::LacksScope(lacking)) if lacking == asked));
                    assert!(matches!(therapist, Err(Error::LacksScope(lacking)) if lacking == asked));
                }
                assert_eq!(key.reads_clinical_content(asked), asked == scope);
            }
            assert_eq!(key.notes_view().is_some(), scope == Scope::NotesRead);
            assert_eq!(key.knows_patients_by_name(), scope == Scope::PatientsRead);
            assert_eq!(key.knows_accounts_by_name(Role::Patient), scope == Scope::PatientsRead);
            assert_eq!(key.follows_aggregation().is_ok(), scope == Scope::AnalyticsRead);
        }
    }

    #[test]
    fn people_need_no_scopes_and_strangers_have_none() {
        let role = |role| Actor::User { id: Uuid::now_v7(), role, auth_session: Uuid::nil(), zone: Tz::UTC };
        for scope in Scope::ALL {
            assert!(role(Role::Therapist).therapist_or(scope).is_ok());
            for other in [Role::Patient, Role::Admin] {
                assert!(role(other).logged_in_or(scope).is_ok());
                assert!(matches!(role(other).therapist_or(scope), Err(Error::Forbidden)));
                assert!(!role(other).reads_clinical_content(scope));
            }
            assert!(matches!(Actor::Anonymous.logged_in_or(scope), Err(Error::Unauthenticated)));
            assert!(matches!(Actor::Anonymous.therapist_or(scope), Err(Error::Unauthenticated)));
        }
    }
}
