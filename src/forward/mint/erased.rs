//! The ports of this room with their types erased.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::cache::Source;
use crate::secret::Secret;
use crate::store::{
    IdentityIssuer, IssueAnswer, IssueRequest, OidcProvider, RefreshAnswer, Replaced, UserLink,
    UserLinkStore,
};
use crate::subject::SubjectKey;

type Erased<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// What became of a call that gave no answer.
pub(super) struct Failed {
    pub(super) source: Source,
    pub(super) may_retry: bool,
}

impl Failed {
    fn new<E: Error + Send + Sync + 'static>(error: E, may_retry: bool) -> Self {
        Self { source: Arc::new(error), may_retry }
    }
}

/// An [`IdentityIssuer`].
pub(super) trait Issues: Send + Sync {
    fn issue(&self, request: IssueRequest) -> Erased<'_, IssueAnswer, Failed>;
}

impl<I: IdentityIssuer> Issues for I {
    fn issue(&self, request: IssueRequest) -> Erased<'_, IssueAnswer, Failed> {
        let call = IdentityIssuer::issue(self, request);
        Box::pin(async move {
            call.await.map_err(|error| {
                let may_retry = I::may_retry(&error);
                Failed::new(error, may_retry)
            })
        })
    }
}

/// An [`OidcProvider`].
pub(super) trait Refreshes: Send + Sync {
    fn refresh(&self, refresh_token: Secret) -> Erased<'_, RefreshAnswer, Failed>;
}

impl<P: OidcProvider> Refreshes for P {
    fn refresh(&self, refresh_token: Secret) -> Erased<'_, RefreshAnswer, Failed> {
        let call = OidcProvider::refresh(self, refresh_token);
        Box::pin(async move {
            call.await.map_err(|error| {
                let may_retry = P::may_retry(&error);
                Failed::new(error, may_retry)
            })
        })
    }
}

/// A [`UserLinkStore`].
pub(super) trait KeepsLinks: Send + Sync {
    fn load<'a>(
        &'a self,
        subject: &'a SubjectKey,
        provider: &'a str,
    ) -> Erased<'a, Option<UserLink>, Source>;

    /// In the place of the link of `link.generation`.
    fn replace<'a>(
        &'a self,
        subject: &'a SubjectKey,
        provider: &'a str,
        link: UserLink,
    ) -> Erased<'a, Replaced, Source>;
}

impl<S: UserLinkStore> KeepsLinks for S {
    fn load<'a>(
        &'a self,
        subject: &'a SubjectKey,
        provider: &'a str,
    ) -> Erased<'a, Option<UserLink>, Source> {
        let call = UserLinkStore::load(self, subject, provider);
        Box::pin(async move { call.await.map_err(|error| Arc::new(error) as Source) })
    }

    fn replace<'a>(
        &'a self,
        subject: &'a SubjectKey,
        provider: &'a str,
        link: UserLink,
    ) -> Erased<'a, Replaced, Source> {
        let call = UserLinkStore::replace(self, subject, provider, link.generation, link);
        Box::pin(async move { call.await.map_err(|error| Arc::new(error) as Source) })
    }
}
