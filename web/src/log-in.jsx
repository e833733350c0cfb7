import { useState } from 'react';

/** The log-in form, or who is logged in and the way out. */
export function LogIn({ user, onLogIn, onLogOut }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');

  const run = async (action) => {
    setBusy(true);
    setProblem('');
    await action().catch((error) => setProblem(error.message));
    setBusy(false);
  };
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    run(() => onLogIn(form.get('email'), form.get('password')));
  };

  return (
    <div className="log-in">
      <span role="status" className="problem">{problem}</span>
      {user ? (
        <>
          <span>Logged in as <strong>{user}</strong></span>
          <button type="button" disabled={busy} onClick={() => run(onLogOut)}>Log out</button>
        </>
      ) : (
        <form onSubmit={submit}>
          <label>E-mail <input name="email" type="email" autoComplete="username" required /></label>
          <label>Password <input name="password" type="password" autoComplete="current-password" required /></label>
          <button type="submit" disabled={busy}>Log in</button>
        </form>
      )}
    </div>
  );
}
