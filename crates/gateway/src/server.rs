//! The sockets: HTTP/1.1 and HTTP/2, one thread a core, each with a runtime and an accept loop of
//! its own over the one listening socket.
//!
//! What a client may take is bounded before anything is trusted: [`Limits`].

use crate::browser;
use crate::gateway::{Gateway, Incoming};
use crate::idle::{Active, Activity, Connections, Heads};
use crate::operator;
use crate::route::NO_SERVICE;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Frame, Incoming as IncomingBody};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use ringfence_wire::ServiceError;
use ringfence_wire::protocol::{Body, Reply, write_error};
use ringfence_wire::service::Protocol;
use ringfence_wire::stream::Chunks;
use smol_str::{SmolStr, ToSmolStr as _};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::LocalSet;

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head: usize,
    /// Time for a request's head.
    pub head_time: Duration,
    /// Bytes of a body, each of which is gathered whole.
    pub body: usize,
    /// Time for such a body.
    pub body_time: Duration,
    /// Bytes of all bodies that are held at one time, but for short ones; further calls wait.
    pub bodies: usize,
    /// Time without a call after which a connection is closed, or a tenth more.
    pub idle_time: Duration,
    /// Open connections of one thread; more wait in the listening socket's queue.
    pub connections: usize,
    /// Time that calls under way have when the server stops.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            head_time: Duration::from_secs(10),
            body: 1024 * 1024,
            body_time: Duration::from_secs(30),
            bodies: 256 * 1024 * 1024,
            idle_time: Duration::from_secs(300),
            connections: 8192,
            stop_time: Duration::from_secs(10),
        }
    }
}

/// A server that runs.
pub struct Server {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Answers what comes in on a socket, on as many threads.
    ///
    /// # Errors
    /// When the socket cannot be shared or a thread or its runtime cannot be made.
    pub fn start(
        gateway: &Arc<Gateway>,
        listener: &TcpListener,
        threads: usize,
        limits: Limits,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (stop, stopping) = watch::channel(false);
        let room = Arc::new(Semaphore::new(limits.bodies / ROOM_UNIT));
        let threads = threads.max(1);
        let all = (0..threads).map(|_| Arc::new(Semaphore::new(limits.connections))).collect();
        let mut server = Self { threads: Vec::new(), stop };
        for index in 0..threads {
            let places = Places { all: Arc::clone(&all), index };
            let (gateway, listener) = (gateway.clone(), listener.try_clone()?);
            let (stopping, room) = (stopping.clone(), room.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new().name(format!("serve-{index}"));
            server.threads.push(thread.spawn(move || {
                let local = LocalSet::new();
                let running = accept(gateway, listener, limits, room, places, stopping);
                if let Err(error) = runtime.block_on(local.run_until(running)) {
                    tracing::error!(%error, "a thread of the server ended");
                }
                // What runs beside calls, a check of policies for one, is not waited for.
                drop(local);
                runtime.shutdown_background();
            })?);
        }
        Ok(server)
    }

    /// Takes no more calls, and returns when those under way are answered or out of time.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the server panicked");
            }
        }
    }
}

/// One thread's work.
async fn accept(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    limits: Limits,
    room: Arc<Semaphore>,
    places: Places,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let builder = Rc::new(connection_builder(&limits));
    let graceful = GracefulShutdown::new();
    let under_way = Rc::new(Cell::new(0usize));
    let connections = Rc::new(Connections::default());
    tokio::task::spawn_local(connections.clone().end_idle(limits.idle_time));
    loop {
        let next = async {
            let place = places.take().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let Some(place) = place else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client has gone. Others go on; do not spin.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection delays small answers");
        }
        let activity = Rc::new(Activity::new());
        let line = Rc::new(Line {
            gateway: gateway.clone(),
            address: peer.ip().to_canonical().to_smolstr(),
            limits,
            room: room.clone(),
            under_way: under_way.clone(),
            activity: activity.clone(),
        });
        let service = hyper::service::service_fn(move |request| {
            // Begun now, and not when it is first polled: what hyper reads before that is not of a head.
            let active = line.activity.begin();
            let exchange = line.clone().exchange(active, request);
            async move { Ok::<_, std::convert::Infallible>(exchange.await) }
        });
        let stream = TokioIo::new(Heads::new(stream, limits.head_time, activity.clone()));
        let connection = builder.serve_connection(stream, service).into_owned();
        let connection = graceful.watch(connection);
        let counted = Counted::begin(gateway.clone());
        connections.run(activity, async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
            drop((counted, place));
        });
    }
    drop(listener);
    let all_answered = async {
        graceful.shutdown().await;
        // A call outlives its connection: its event is still to be written.
        while under_way.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(limits.stop_time, all_answered).await.is_err() {
        tracing::warn!(calls = under_way.get(), "stopped before every connection had ended");
    }
    Ok(())
}

/// The places for connections of every thread, as one of them sees them.
struct Places {
    all: Arc<[Arc<Semaphore>]>,
    index: usize,
}

/// Connections that a thread may have more than another and still take the next.
const AHEAD: usize = 2;

/// How long it leaves the next to the others otherwise.
const GIVES_WAY: Duration = Duration::from_millis(1);

impl Places {
    /// A place for a connection of this thread. Connections come in bursts, and whichever thread wakes first
    /// would take all of one: it lets those take some that have fewer. `None` never comes.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let own = self.all.get(self.index)?;
        let place = own.clone().acquire_owned().await.ok()?;
        let most_free = self.all.iter().map(|places| places.available_permits()).max()?;
        if most_free > own.available_permits() + AHEAD {
            tokio::time::sleep(GIVES_WAY).await;
        }
        Some(place)
    }
}

fn connection_builder(limits: &Limits) -> auto::Builder<OnThisThread> {
    let mut builder = auto::Builder::new(OnThisThread);
    builder.http1().max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs hyper's tasks on the thread that made them.
#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What the calls of one connection share.
struct Line {
    gateway: Arc<Gateway>,
    /// The client's address, as conditions and events have it.
    address: SmolStr,
    limits: Limits,
    room: Arc<Semaphore>,
    under_way: Rc<Cell<usize>>,
    activity: Rc<Activity>,
}

impl Line {
    /// One request and its answer.
    async fn exchange(
        self: Rc<Self>,
        _active: Active,
        request: http::Request<IncomingBody>,
    ) -> Response<AnswerBody> {
        let gateway = &self.gateway;
        let (mut parts, body) = request.into_parts();
        // HTTP/2 has no Host header; signatures do.
        if !parts.headers.contains_key(header::HOST)
            && let Some(authority) = parts.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(header::HOST, host);
        }
        let gathered = match gateway.dev.is_some() && browser::is_foreign(&parts.headers) {
            true => Err(browser::refused()),
            false => {
                // A call of HTTP/1.1 has its connection to itself, those of HTTP/2 are many.
                let uncounted = if parts.version < Version::HTTP_2 { UNCOUNTED } else { 0 };
                gather(body, &self.limits, &self.room, uncounted).await
            }
        };
        let (body, held) = match gathered {
            Ok(gathered) => gathered,
            Err(error) => {
                gateway.metrics.unroutable.inc();
                let reply = write_error(Protocol::AwsQuery, &NO_SERVICE, &error, "");
                let mut response = respond(reply);
                // What is left of the body is not worth reading.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
                return response;
            }
        };
        let operators = operator::is_operators(parts.uri.path());
        let beside = operators && gateway.is_beside(parts.uri.path());
        if operators && !beside {
            return respond(operator::answer(gateway, &parts, &body).await);
        }
        let source_ip = self.address.clone();
        let incoming = Box::new(Incoming { parts, body, source_ip, secure: false });
        let call = Call::begin(self.under_way.clone());
        let line = self.clone();
        let answered = ToTheEnd::new(async move {
            let reply = match beside {
                true => line.gateway.answer_beside(incoming).await,
                false => line.gateway.answer(incoming).await,
            };
            drop((call, held));
            reply
        });
        respond(answered.await)
    }
}

/// A call that ends, and is recorded, even when its client goes away: what is dropped half-way goes
/// on as a task of its own.
struct ToTheEnd<F: Future<Output = Reply> + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output = Reply> + 'static> ToTheEnd<F> {
    fn new(call: F) -> Self {
        Self(Some(Box::pin(call)))
    }
}

impl<F: Future<Output = Reply> + 'static> Future for ToTheEnd<F> {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let Some(call) = &mut self.0 else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context)));
        let reply = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(reply)) => reply,
            Err(_) => {
                tracing::error!("a call was not answered");
                write_error(Protocol::AwsQuery, &NO_SERVICE, &ServiceError::internal(), "")
            }
        };
        self.0 = None;
        Poll::Ready(reply)
    }
}

impl<F: Future<Output = Reply> + 'static> Drop for ToTheEnd<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            tokio::task::spawn_local(call);
        }
    }
}

/// Counts a connection as open for as long as it lives.
struct Counted(Arc<Gateway>);

impl Counted {
    fn begin(gateway: Arc<Gateway>) -> Self {
        gateway.metrics.connections.inc();
        Self(gateway)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

/// Counts a call as under way for as long as it lives.
struct Call(Rc<Cell<usize>>);

impl Call {
    fn begin(count: Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The unit in which room for bodies is counted.
const ROOM_UNIT: usize = 1024;

/// A body that is no longer, of a connection's only call, lies in the connection's buffer, which is there anyhow.
const UNCOUNTED: usize = 8 * 1024;

/// The room that a body takes while it is held.
type Held = Option<OwnedSemaphorePermit>;

/// Gathers a request's body within its limits.
async fn gather(
    body: IncomingBody,
    limits: &Limits,
    room: &Arc<Semaphore>,
    uncounted: usize,
) -> Result<(Bytes, Held), ServiceError> {
    let too_large = || {
        ServiceError::new("RequestEntityTooLarge", 413, "The request body is larger than allowed.")
    };
    if body.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
    if body.size_hint().lower() > limits.body as u64 {
        return Err(too_large());
    }
    // Room for all that the body says it may be, or for the most that is allowed.
    let most = body.size_hint().upper().map_or(limits.body, |upper| {
        usize::try_from(upper).unwrap_or(limits.body).min(limits.body)
    });
    let units = u32::try_from(most.div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX);
    let mut collected = pin!(async {
        let held = match most > uncounted {
            true => room.clone().acquire_many_owned(units).await.ok(),
            false => None,
        };
        let mut body = Limited::new(body, limits.body);
        // Most bodies have come with their heads, whole.
        let first = body.frame().await.transpose()?.and_then(|frame| frame.into_data().ok());
        if body.is_end_stream() {
            return Ok((first.unwrap_or_default(), held));
        }
        let mut all = BytesMut::from(first.unwrap_or_default());
        all.extend_from_slice(&body.collect().await?.to_bytes());
        Ok((all.freeze(), held))
    });
    // Time is taken of those alone that are waited for.
    let at_once = poll_fn(|context| Poll::Ready(collected.as_mut().poll(context))).await;
    let gathered = match at_once {
        Poll::Ready(gathered) => Ok(gathered),
        Poll::Pending => tokio::time::timeout(limits.body_time, collected).await,
    };
    match gathered {
        Ok(Ok(gathered)) => Ok(gathered),
        Ok(Err(error)) => {
            let error: Box<dyn std::error::Error + Send + Sync> = error;
            match error.is::<LengthLimitError>() {
                true => Err(too_large()),
                false => Err(ServiceError::new("IncompleteBody", 400, error.to_string())),
            }
        }
        Err(_) => Err(ServiceError::new(
            "RequestTimeout",
            408,
            "The request body was not received within the time allowed.",
        )),
    }
}

/// The answer as hyper takes it.
fn respond(reply: Reply) -> Response<AnswerBody> {
    let mut response = Response::new(match reply.body {
        Body::Whole(bytes) => AnswerBody::Whole(bytes),
        Body::Stream(stream) => stream.take().map_or_else(AnswerBody::empty, AnswerBody::Stream),
    });
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = reply.headers;
    response
}

/// The body of an answer.
enum AnswerBody {
    Whole(Bytes),
    Stream(Pin<Box<dyn Chunks>>),
}

impl AnswerBody {
    fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(chunks) => {
                chunks.as_mut().poll_chunk(context).map(|chunk| Some(chunk?.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(bytes) => hyper::body::SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(chunks) => chunks
                .remaining()
                .map_or_else(hyper::body::SizeHint::default, hyper::body::SizeHint::with_exact),
        }
    }
}

/// Waits until the process is asked to end: SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be listened for.
pub async fn until_asked_to_stop() -> io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    poll_fn(|context| {
        if terminate.poll_recv(context).is_ready() {
            Poll::Ready(Ok("SIGTERM"))
        } else if interrupt.poll_recv(context).is_ready() {
            Poll::Ready(Ok("SIGINT"))
        } else {
            Poll::Pending
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_thread_with_more_connections_leaves_the_next_to_the_others_for_a_moment() {
        let all: Arc<[_]> = (0..2).map(|_| Arc::new(Semaphore::new(8))).collect();
        let [busy, idle] = [0, 1].map(|index| Places { all: Arc::clone(&all), index });
        let begun = Instant::now();
        let mut taken = Vec::new();
        for _ in 0..AHEAD {
            taken.push(busy.take().await.unwrap());
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        taken.push(busy.take().await.unwrap());
        assert!(begun.elapsed() >= GIVES_WAY);
        let before = Instant::now();
        taken.push(idle.take().await.unwrap());
        taken.push(busy.take().await.unwrap());
        assert!(before.elapsed() >= GIVES_WAY);
        taken.clear();
        let before = Instant::now();
        drop(busy.take().await);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
