# cython: language_level=3, autotestdict=False, freethreading_compatible=True
"""Signals that end the program in time, for the command line only; see _interrupt.h."""

cdef extern from "_interrupt.h":
    int lfmm2_end_within(double seconds)
    void lfmm2_say_nothing()
    int lfmm2_catch(int signal_number, void (*handler)(int) noexcept)
    void lfmm2_interrupt(int signal_number) noexcept


def end_within(double seconds, signals):
    """Give Python's own handlers of these signals so many seconds to end the process, then end it.

    The exit code is 128 + the signal in either case. Call it after ``signal.signal``, which sets Python's handlers.

    Parameters
    ----------
    seconds : float
    signals : iterable of int

    Raises
    ------
    OSError
        If the system refuses a handler.
    """
    if lfmm2_end_within(seconds) != 0:
        raise OSError("SIGALRM cannot be caught")
    for number in signals:
        if lfmm2_catch(number, lfmm2_interrupt) != 0:
            raise OSError(f"signal {number} cannot be caught")


def say_nothing():
    """Let the process end without a word, because Python has said it."""
    lfmm2_say_nothing()
