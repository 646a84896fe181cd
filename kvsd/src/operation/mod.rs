//! Operations: values that are futures, refined before they are awaited.
//!
//! Nothing happens before the first poll; what is refined after it, with an operation that was
//! polled by reference, comes too late and changes nothing. A result is fetched once: polling again
//! panics, as with any `async fn`.
//!
//! `draft` is what an operation asks; `call` holds what they share: deadline, connection, retry. [`mod@read`] and [`mod@write`]
//! give each its name, its settings and its result.

mod call;
mod draft;
pub mod read;
pub mod write;

pub(crate) use self::call::Call;
pub(crate) use self::draft::Draft;

/// Gives an operation its future, its deadline and its independence from the client's borrow.
macro_rules! operation {
    ($name:ident $(<$value:ident: $bound:path>)?, $output:ty, $finish:expr) => {
        impl<'c $(, $value: $bound)?> $name<'c $(, $value)?> {
            /// Allows this operation `timeout` in all, at most a year, instead of the client's
            /// setting. It begins with the first poll; if it is zero, nothing is sent.
            pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
                self.call.set_timeout(timeout);
                self
            }

            /// The same operation without the borrow of the client, to be spawned or kept.
            pub fn owned(self) -> $name<'static $(, $value)?> {
                $name {
                    call: self.call.into_owned(),
                    $(value: std::marker::PhantomData::<fn() -> $value>,)?
                }
            }
        }

        impl$(<$value: $bound>)? std::future::Future for $name<'_ $(, $value)?> {
            type Output = Result<$output, $crate::Error>;

            fn poll(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Self::Output> {
                let answer = std::task::ready!(self.call.poll(context));
                let finish: fn($crate::connection::answer::Answer) -> Result<$output, $crate::Error>
                    = $finish;
                std::task::Poll::Ready(self.call.finish(answer.and_then(finish)))
            }
        }

        impl$(<$value: $bound>)? std::fmt::Debug for $name<'_ $(, $value)?> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.call).finish()
            }
        }
    };
}
pub(crate) use operation;
