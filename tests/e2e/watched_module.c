/* A PKCS#11 module around another: it writes down what it is asked, and can be made slow or stubborn.
 *
 * CONTROL is a folder. `log` in it gets a line a call: `initialize`, `login`, `open HANDLE`,
 * `close HANDLE`, `made` once a key is. Files in it change what the module does for as long as they are there:
 *   hang        nothing is answered, not even when it is loaded
 *   hold        no key is made
 *   slow-login  a login takes its time
 *   last-try    the token says that one wrong PIN more locks it
 * REAL is the module that does the work. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef struct { unsigned char version[2]; void *call[68]; } functions;
enum { INITIALIZE = 0, TOKEN_INFO = 6, OPEN = 12, CLOSE = 13, LOGIN = 18, GENERATE_KEY = 58 };
enum { FLAGS_AT = 96, FINAL_TRY = 0x20000 };

static functions own, *real;

static int there(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", CONTROL, name);
    return access(path, F_OK) == 0;
}

static void wait_while(const char *name) {
    while (there(name)) usleep(10000);
}

static void note(const char *what, ulong handle, int with_handle) {
    char line[128];
    int length = with_handle ? snprintf(line, sizeof line, "%s %lu\n", what, handle)
                             : snprintf(line, sizeof line, "%s\n", what);
    int file = open(CONTROL "/log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file >= 0) {
        if (write(file, line, length) != length) _exit(99);
        close(file);
    }
}

static ulong initialize(void *arguments) {
    note("initialize", 0, 0);
    return ((ulong (*)(void *))real->call[INITIALIZE])(arguments);
}

static ulong token_info(ulong slot, void *info) {
    ulong done = ((ulong (*)(ulong, void *))real->call[TOKEN_INFO])(slot, info);
    if (done == 0 && there("last-try")) {
        ulong flags;
        memcpy(&flags, (char *)info + FLAGS_AT, sizeof flags);
        flags |= FINAL_TRY;
        memcpy((char *)info + FLAGS_AT, &flags, sizeof flags);
    }
    return done;
}

static ulong open_session(ulong slot, ulong flags, void *application, void *notify, ulong *session) {
    ulong done = ((ulong (*)(ulong, ulong, void *, void *, ulong *))real->call[OPEN])(
        slot, flags, application, notify, session);
    if (done == 0) note("open", *session, 1);
    return done;
}

static ulong close_session(ulong session) {
    note("close", session, 1);
    return ((ulong (*)(ulong))real->call[CLOSE])(session);
}

static ulong login(ulong session, ulong user, void *pin, ulong length) {
    note("login", 0, 0);
    if (there("slow-login")) usleep(300000);
    return ((ulong (*)(ulong, ulong, void *, ulong))real->call[LOGIN])(session, user, pin, length);
}

static ulong generate_key(ulong session, void *mechanism, void *template, ulong count, ulong *key) {
    wait_while("hold");
    ulong done = ((ulong (*)(ulong, void *, void *, ulong, ulong *))real->call[GENERATE_KEY])(
        session, mechanism, template, count, key);
    note("made", 0, 0);
    return done;
}

ulong C_GetFunctionList(functions **list) {
    wait_while("hang");
    void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    if (!library) return 5;
    ulong (*get)(functions **) = (ulong (*)(functions **))dlsym(library, "C_GetFunctionList");
    ulong done = get ? get(&real) : 5;
    if (done != 0) return done;
    own = *real;
    own.call[INITIALIZE] = (void *)initialize;
    own.call[TOKEN_INFO] = (void *)token_info;
    own.call[OPEN] = (void *)open_session;
    own.call[CLOSE] = (void *)close_session;
    own.call[LOGIN] = (void *)login;
    own.call[GENERATE_KEY] = (void *)generate_key;
    *list = &own;
    return 0;
}
