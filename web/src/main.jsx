import '@graphiql/react/dist/style.css';
import 'graphiql/src/style.css';
import './style.css';
import { createRoot } from 'react-dom/client';
import { App } from './app.jsx';
import { Credentials } from './credentials.js';

createRoot(document.getElementById('root')).render(<App credentials={new Credentials()} />);
