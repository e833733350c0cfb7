import { GraphiQL } from 'graphiql';
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { AttachFile } from './attach-file.jsx';
import { EXAMPLES } from './examples.js';
import { createFetcher } from './fetcher.js';
import { LogIn } from './log-in.jsx';
import { createStorage } from './storage.js';

export function App({ credentials }) {
  const user = useUser(credentials);
  const [file, setFile] = useState(null);
  const [visit, setVisit] = useState(0);

  // Whoever logs out leaves nothing on the screen: a new visit starts with an empty GraphiQL.
  const logOut = () => {
    const done = credentials.logOut();
    setFile(null);
    setVisit((count) => count + 1);
    return done;
  };
  return (
    <>
      <header className="bar">
        <h1>TherapyBridge <span>GraphiQL</span></h1>
        <AttachFile key={visit} file={file} onChange={setFile} />
        <LogIn user={user} onLogIn={(email, password) => credentials.logIn(email, password)} onLogOut={logOut} />
      </header>
      <main>
        <Playground key={visit} credentials={credentials} file={file} />
      </main>
    </>
  );
}

function Playground({ credentials, file }) {
  const attached = useRef(file);
  attached.current = file;
  const storage = useMemo(() => createStorage(), []);
  const { fetcher, dispose } = useMemo(() => createFetcher(credentials, () => attached.current), [credentials]);
  useEffect(() => dispose, [dispose]);
  return (
    <GraphiQL
      fetcher={fetcher}
      storage={storage}
      defaultTabs={EXAMPLES}
      variables={EXAMPLES[0].variables /* the first tab's, which GraphiQL does not take from defaultTabs */}
      defaultEditorToolsVisibility="variables"
      showPersistHeadersSettings={false}
    />
  );
}

function useUser(credentials) {
  const subscribe = useMemo(
    () => (listener) => {
      credentials.addEventListener('change', listener);
      return () => credentials.removeEventListener('change', listener);
    },
    [credentials],
  );
  return useSyncExternalStore(subscribe, () => credentials.user);
}
