//! A service's handlers, behind one table whatever their types.

use crate::call::{Answer, Call, CallFacts, Outcome};
use crate::pass_role::Passing;
use foldhash::fast::RandomState;
use ringfence_wire::{Operation, Service, ServiceError, Structure, TypedOperation};
use std::any::Any;
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
    /// Takes an input that another service made; `false` where it is one of another operation.
    fn put(&mut self, input: Box<dyn Any>) -> bool;
    /// Runs the handler.
    fn run(self: Box<Self>, facts: Rc<CallFacts>) -> Handled<'static>;
}

/// What a handler returns: the output, and that it asked for what its operation must ask for.
trait Answering<T> {
    fn into_output(self) -> T;
}

impl<T> Answering<T> for Answer<T> {
    fn into_output(self) -> T {
        Answer::into_output(self)
    }
}

impl<T> Answering<T> for Passing<T> {
    fn into_output(self) -> T {
        Passing::into_output(self)
    }
}

/// What is asked before any handler of a service runs.
type Admit<S> = fn(&S, &CallFacts) -> Result<(), ServiceError>;

struct Typed<S, O, F, A> {
    state: Arc<S>,
    admit: Admit<S>,
    handler: F,
    operation: std::marker::PhantomData<fn() -> (O, A)>,
}

struct TypedInput<S, O: TypedOperation, F, A> {
    input: O::Input,
    state: Arc<S>,
    admit: Admit<S>,
    handler: F,
    answer: std::marker::PhantomData<fn() -> A>,
}

impl<S, O, F, A> Handler for Typed<S, O, F, A>
where
    S: Send + Sync + 'static,
    O: TypedOperation,
    A: Answering<O::Output> + 'static,
    F: AsyncFn(&S, Call<O>) -> Result<A, ServiceError> + Copy + Send + Sync + 'static,
{
    fn input(&self) -> Box<dyn Input> {
        Box::new(TypedInput::<S, O, F, A> {
            input: O::Input::default(),
            state: self.state.clone(),
            admit: self.admit,
            handler: self.handler,
            answer: std::marker::PhantomData,
        })
    }
}

impl<S, O, F, A> Input for TypedInput<S, O, F, A>
where
    S: Send + Sync + 'static,
    O: TypedOperation,
    A: Answering<O::Output> + 'static,
    F: AsyncFn(&S, Call<O>) -> Result<A, ServiceError> + Copy + 'static,
{
    fn as_structure(&mut self) -> &mut dyn Structure {
        &mut self.input
    }

    fn put(&mut self, input: Box<dyn Any>) -> bool {
        match input.downcast::<O::Input>() {
            Ok(input) => {
                self.input = *input;
                true
            }
            Err(_) => false,
        }
    }

    fn run(self: Box<Self>, facts: Rc<CallFacts>) -> Handled<'static> {
        let Self { input, state, admit, handler, .. } = *self;
        Box::pin(async move {
            admit(&state, &facts)?;
            let answer = handler(&state, Call::new(input, facts)).await?;
            Ok(Outcome { output: Box::new(answer.into_output()) })
        })
    }
}

/// The operations of one service that are built. The others answer that they are not.
pub struct Handlers<S> {
    service: &'static Service,
    state: Arc<S>,
    admit: Admit<S>,
    table: HashMap<&'static str, Box<dyn Handler>, RandomState>,
}

impl<S: Send + Sync + 'static> Handlers<S> {
    /// No operations yet, over the service's state.
    pub fn new(service: &'static Service, state: Arc<S>) -> Self {
        Self { service, state, admit: |_, _| Ok(()), table: HashMap::default() }
    }

    /// Asks this before any handler that is built from here on: whether the call is one too many, for
    /// one. It decides nothing about what the caller may.
    pub fn admitting(mut self, admit: fn(&S, &CallFacts) -> Result<(), ServiceError>) -> Self {
        self.admit = admit;
        self
    }

    /// Builds one operation: `.on::<op::CreateUser, _>(users::create_user)`. One that is passed roles
    /// does not compile here.
    pub fn on<O, F>(self, handler: F) -> Self
    where
        O: TypedOperation,
        F: AsyncFn(&S, Call<O>) -> Result<Answer<O::Output>, ServiceError>
            + Copy
            + Send
            + Sync
            + 'static,
    {
        const { assert!(O::OPERATION.authorization.passes.is_empty(), "mount it with on_passing") };
        self.mount::<O, F, Answer<O::Output>>(handler)
    }

    /// Builds one operation that is passed roles: see [`pass_role`](crate::pass_role).
    pub fn on_passing<O, F>(self, handler: F) -> Self
    where
        O: TypedOperation,
        F: AsyncFn(&S, Call<O>) -> Result<Passing<O::Output>, ServiceError>
            + Copy
            + Send
            + Sync
            + 'static,
    {
        self.mount::<O, F, Passing<O::Output>>(handler)
    }

    fn mount<O, F, A>(mut self, handler: F) -> Self
    where
        O: TypedOperation,
        A: Answering<O::Output> + 'static,
        F: AsyncFn(&S, Call<O>) -> Result<A, ServiceError> + Copy + Send + Sync + 'static,
    {
        let typed = Typed::<S, O, F, A> {
            state: self.state.clone(),
            admit: self.admit,
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
    table: HashMap<&'static str, Box<dyn Handler>, RandomState>,
}

impl Mounted {
    /// A service of which no operation is built.
    pub fn unbuilt(service: &'static Service) -> Self {
        Self { service, table: HashMap::default() }
    }

    /// A service whose operations several crates carry out: this part and another's.
    pub fn join(mut self, other: Self) -> Self {
        debug_assert!(std::ptr::eq(self.service, other.service), "parts of one service");
        self.table.extend(other.table);
        self
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
