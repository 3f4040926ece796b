/* Signals that end the program within a second whatever it is doing.
 *
 * Python runs handlers between its own instructions only, and a factorisation in LAPACK may last for minutes. So the
 * first signal is passed on to Python, which leaves in order if it can, and starts a timer; the timer or a second signal
 * ends the process. What a run has done is kept so that it may end anywhere. */

#ifndef LFMM2_INTERRUPT_H
#define LFMM2_INTERRUPT_H

#include <Python.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t lfmm2_exit_code = 0;
static volatile sig_atomic_t lfmm2_said = 0;
static struct itimerval lfmm2_grace;

/* only calls that are safe in a handler: write, _exit, setitimer (a bare system call), PyErr_SetInterruptEx */

static void lfmm2_leave(int signal_number)
{
    static const char message[] = "Interrupted.\n";
    ssize_t ignored = lfmm2_said ? 0 : write(2, message, sizeof message - 1);
    (void)ignored;
    (void)signal_number;
    _exit(lfmm2_exit_code);
}

static void lfmm2_interrupt(int signal_number)
{
    if (lfmm2_exit_code) {
        lfmm2_leave(signal_number);
    }
    lfmm2_exit_code = 128 + signal_number;
    setitimer(ITIMER_REAL, &lfmm2_grace, NULL);
    PyErr_SetInterruptEx(signal_number);
}

static void lfmm2_say_nothing(void)
{
    lfmm2_said = 1;
}

static int lfmm2_catch(int signal_number, void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    /* without SA_RESTART, so that a system call that waits gives way to Python */
    return sigaction(signal_number, &action, NULL);
}

static int lfmm2_end_within(double seconds)
{
    lfmm2_grace.it_value.tv_sec = (time_t)seconds;
    lfmm2_grace.it_value.tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6);
    return lfmm2_catch(SIGALRM, lfmm2_leave);
}

#endif
