//! A service's handlers, behind one table whatever their types.

use crate::call::{Answer, Call, CallFacts, Outcome};
use ringfence_wire::{Operation, Service, ServiceError, Structure, TypedOperation};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

type Handled<'a> = Pin<Box<dyn Future<Output = Result<Outcome, ServiceError>> + 'a>>;

/// One operation's handler with its types hidden.
pub(crate) trait Handler: Send + Sync {
    /// A default input to decode into.
    fn input(&self) -> Box<dyn Input>;
}

/// A decoded input that knows its handler.
pub(crate) trait Input {
    /// The input as the protocol sees it.
    fn as_structure(&mut self) -> &mut dyn Structure;
    /// Runs the handler.
    fn run(self: Box<Self>, facts: Rc<CallFacts>) -> Handled<'static>;
}

struct Typed<S, O, F> {
    state: Arc<S>,
    handler: F,
    operation: std::marker::PhantomData<fn() -> O>,
}

struct TypedInput<S, O: TypedOperation, F> {
    input: O::Input,
    state: Arc<S>,
    handler: F,
}

impl<S, O, F> Handler for Typed<S, O, F>
where
    S: Send + Sync + 'static,
    O: TypedOperation,
    F: AsyncFn(&S, Call<O>) -> Result<Answer<O::Output>, ServiceError>
        + Copy
        + Send
        + Sync
        + 'static,
{
    fn input(&self) -> Box<dyn Input> {
        Box::new(TypedInput::<S, O, F> {
            input: O::Input::default(),
            state: self.state.clone(),
            handler: self.handler,
        })
    }
}

impl<S, O, F> Input for TypedInput<S, O, F>
where
    S: Send + Sync + 'static,
    O: TypedOperation,
    F: AsyncFn(&S, Call<O>) -> Result<Answer<O::Output>, ServiceError> + Copy + 'static,
{
    fn as_structure(&mut self) -> &mut dyn Structure {
        &mut self.input
    }

    fn run(self: Box<Self>, facts: Rc<CallFacts>) -> Handled<'static> {
        let Self { input, state, handler } = *self;
        Box::pin(async move {
            let answer = handler(&state, Call::new(input, facts)).await?;
            Ok(Outcome { output: Box::new(answer.into_output()) })
        })
    }
}

/// The operations of one service that are built. The others answer that they are not.
pub struct Handlers<S> {
    service: &'static Service,
    state: Arc<S>,
    table: HashMap<&'static str, Box<dyn Handler>>,
}

impl<S: Send + Sync + 'static> Handlers<S> {
    /// No operations yet, over the service's state.
    pub fn new(service: &'static Service, state: Arc<S>) -> Self {
        Self { service, state, table: HashMap::new() }
    }

    /// Builds one operation: `.on::<op::CreateUser, _>(users::create_user)`.
    pub fn on<O, F>(mut self, handler: F) -> Self
    where
        O: TypedOperation,
        F: AsyncFn(&S, Call<O>) -> Result<Answer<O::Output>, ServiceError>
            + Copy
            + Send
            + Sync
            + 'static,
    {
        let typed = Typed::<S, O, F> {
            state: self.state.clone(),
            handler,
            operation: std::marker::PhantomData,
        };
        self.table.insert(O::OPERATION.name, Box::new(typed));
        self
    }

    /// The table with the state's type hidden.
    pub fn finish(self) -> Mounted {
        Mounted { service: self.service, table: self.table }
    }
}

/// A service as the gateway mounts it.
pub struct Mounted {
    service: &'static Service,
    table: HashMap<&'static str, Box<dyn Handler>>,
}

impl Mounted {
    /// A service of which no operation is built.
    pub fn unbuilt(service: &'static Service) -> Self {
        Self { service, table: HashMap::new() }
    }

    /// Its model.
    pub fn service(&self) -> &'static Service {
        self.service
    }

    /// The operations that are built, by name.
    pub fn built(&self) -> impl Iterator<Item = &'static str> {
        self.table.keys().copied()
    }

    pub(crate) fn handler(&self, operation: &Operation) -> Option<&dyn Handler> {
        self.table.get(operation.name).map(|handler| &**handler)
    }
}
