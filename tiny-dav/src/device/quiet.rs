//! Keeps ALSA from writing to standard error, for one thread at a time. Elsewhere there is nothing
//! to do.

/// While this lives, the ALSA library writes its complaints on this thread into a buffer.
pub(super) struct Quiet {
    #[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "netbsd"))]
    _buffer: Option<std::rc::Rc<std::cell::RefCell<alsa::Output>>>,
}

/// Quiet on this thread, which must be one of ours: the handler stays installed until it ends.
pub(super) fn this_thread() -> Quiet {
    Quiet {
        #[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "netbsd"))]
        _buffer: alsa::Output::local_error_handler().ok(),
    }
}
